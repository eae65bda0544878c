"""Hooks of the site. Math becomes MathML, which browsers draw themselves.

The changelog and the figures of results become pages and files of the site. Other links out of docs/ become plain text, because
their targets are not on the site.
"""

from __future__ import annotations

import html
import posixpath
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # MkDocs restores sys.path after this file is loaded
import_module("docs.pages.prose")  # loaded now, so that griffe_roles can import it later

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(((?:\.\./)+[^)\s]+)\)")
MATH = re.compile(r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    own = changelog.replace("](docs/", "](").replace("](README.md", "](../README.md")
    files.append(File.generated(config, "changelog.md", content=own))
    for path in sorted(ROOT.glob("replications/results/*/*/figures/*.png")):
        relative = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, relative, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)

    def followed(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        path = target.partition("#")[0]
        full = posixpath.normpath(posixpath.join("docs", folder, path))  # from the root of the repository
        if full.startswith("docs/"):
            return link[0]
        inside = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "write_a_rule.md"}.get(
            full, full
        )
        if files.get_file_from_path(inside) is None:
            return text
        return f"{image}[{text}]({posixpath.relpath(inside, folder or '.')})"

    return LINK.sub(followed, markdown)


def on_page_content(content: str, **kwargs: Any) -> str:
    return MATH.sub(
        lambda found: convert(html.unescape(found[3]), display="block" if found[2] == "[" else "inline"), content
    )
