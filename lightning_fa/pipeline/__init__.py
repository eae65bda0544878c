"""A network whose blocks run in several processes: which blocks where, what is sent, and how the parts become one again."""
