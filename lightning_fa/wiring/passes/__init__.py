"""One forward pass through the blocks: the targets, the calls, the proof of the cut, and gradients in the forward pass."""
