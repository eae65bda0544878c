"""The exceptions that a user can cause."""


class ReplicationError(Exception):
    """A wrong request or damaged data: the command prints its text, without a traceback, and ends with status 2."""


class DataMissingError(ReplicationError):
    """Data that are neither on this machine nor to be downloaded, where no folder was named that should hold them."""
