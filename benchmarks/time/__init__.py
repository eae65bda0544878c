"""Time of a training step: ratios to backpropagation and to hand-written loops, and how it grows."""
