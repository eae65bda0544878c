"""An extension for the API pages: converts docstrings to Markdown for mkdocstrings."""

from __future__ import annotations

from typing import Any

import griffe

from docs.pages.prose import markdown


class Roles(griffe.Extension):
    """Converts math and cross-references of every docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
