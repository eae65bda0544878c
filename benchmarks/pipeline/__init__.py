"""Pipelines, measured on two processes and simulated on more."""
