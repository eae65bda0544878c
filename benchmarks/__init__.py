"""Measurements that decide no test: ratios to backpropagation, taken interleaved in one run."""
