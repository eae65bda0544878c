"""The papers, a module or package each; `python -m replications NAME` runs one."""
