"""What the networks of several papers log in the same way."""
