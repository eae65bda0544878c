"""From a request to finished runs on disk."""
