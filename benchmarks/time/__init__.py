"""The time of a training step: ratios to backpropagation and to hand-written loops, and its growth with size."""
