"""Reports of replications: one HTML page that opens from disk, and the same as a W&B report."""

from replications.report.command import report

__all__ = ["report"]
