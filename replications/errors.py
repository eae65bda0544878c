"""The exceptions that a user can cause."""

from pathlib import Path


class ReplicationError(Exception):
    """A wrong request or damaged data: the command prints its text, without a traceback, and ends with status 2."""


class DataMissingError(ReplicationError):
    """Data that are neither on this machine nor to be downloaded, where no folder was named that should hold them."""


class Interrupted(KeyboardInterrupt):
    """The user has stopped a replication; `out` is the --out that goes on with it."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.out = out
