"""Published experiments on feedback alignment, repeated with one command each: `python -m replications list`."""
