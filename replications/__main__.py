"""Entry point of `python -m replications`."""

import sys

INTERRUPTED = 130
"""The exit status that shells give a process ended by SIGINT."""

if __name__ == "__main__":
    try:
        from replications.cli import main  # inside the try, because the user may interrupt this import of some seconds

        status = main(sys.argv[1:])
    except KeyboardInterrupt as cut:
        out = getattr(cut, "out", None)
        print(f"interrupted; the same command with --out {out} continues it" if out else "interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
