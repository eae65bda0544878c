"""A network divided over several processes: its stages, the messages between them, and the gathering of its parts."""
