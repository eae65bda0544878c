"""Entry point of `python -m replications`."""

import sys

from replications.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
