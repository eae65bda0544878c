"""The blocks of a network: which modules they are, in which order they are called, and where each of them ends."""
