"""Feedback in a model: where the tensors are held, which shapes they have, and which rows of a batch they act on."""
