"""A paper's docstring as Markdown: its headings stand at the margin, its paragraphs are indented."""

import re


def sections(docstring: str) -> str:
    """The docstring without its first line."""
    parts: list[str] = []
    for block in re.split(r"\n(?=\S)", docstring.strip())[1:]:
        heading, _, body = block.partition("\n")
        paragraphs = [" ".join(paragraph.split()) for paragraph in body.split("\n\n")]
        parts += [f"## {heading.strip()}", *(_escaped(paragraph) for paragraph in paragraphs if paragraph)]
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Outside of code, what Markdown would take for emphasis or HTML is meant literally."""
    parts = text.split("`")
    return "`".join(part if odd % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for odd, part in enumerate(parts))
