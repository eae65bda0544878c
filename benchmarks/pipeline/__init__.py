"""Pipelines: measured on two processes, simulated on more."""
