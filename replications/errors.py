"""The one exception that a user can cause."""


class ReplicationError(Exception):
    """A wrong request or damaged data: the command prints its text, without a traceback, and ends with status 2."""
