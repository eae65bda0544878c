"""The exceptions that a user can cause."""

from pathlib import Path


class ReplicationError(Exception):
    """A wrong request or damaged data. The command prints the text without a traceback and ends with status 2."""


class DataMissingError(ReplicationError):
    """The data are not on this machine and cannot be downloaded, and the user named no folder for them."""


class Interrupted(KeyboardInterrupt):
    """The user has stopped a replication. The same command with `out` as --out continues it."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.out = out
