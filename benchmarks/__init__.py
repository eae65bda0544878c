"""Measurements, as ratios to backpropagation from one interleaved run. No test depends on them."""
