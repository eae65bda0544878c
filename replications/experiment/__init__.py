"""Turns a request into finished runs on disk."""
