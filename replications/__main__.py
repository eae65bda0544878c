"""Entry point of `python -m replications`."""

import sys

INTERRUPTED = 130
"""The status of what SIGINT has ended, as shells give it."""

if __name__ == "__main__":
    try:
        from replications.cli import main  # takes a while, and may be interrupted as well

        status = main(sys.argv[1:])
    except KeyboardInterrupt as cut:
        out = getattr(cut, "out", None)
        print(f"interrupted; the same command with --out {out} goes on" if out else "interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
