"""The README as a package index shows it: there a relative link leads nowhere, and a relative picture is none."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?!https?:|#)([^)\s]+)\)")


class CustomMetadataHook(MetadataHookInterface):
    """Gives the project's description, with addresses in the repository that `project.urls` names."""

    def update(self, metadata: dict) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, metadata["urls"]["Homepage"])}


def absolute(text: str, repository: str) -> str:
    """Links to files become links to the repository, and pictures those that it serves."""
    return LINK.sub(
        lambda found: f"{found[1]}{found[2]}{repository}/{'raw' if found[1] else 'blob'}/main/{found[3]})", text
    )
