"""The papers, each a module or package. `python -m replications NAME` runs one paper."""
