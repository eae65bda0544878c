"""Texts and tables as Markdown and HTML. In a paper's docstring, headings are not indented and paragraphs are."""

import re
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
EXPONENT = re.compile(r"(?<=\S)\^(\{[^}]*\}|\([^)]*\)|\w|\+)")
"""``e^i``, ``h^{i-1}``, ``2^(1/3)``, ``W^+``."""


def sections(docstring: str) -> str:
    """The sections of a paper's docstring as Markdown, without the first line."""
    parts: list[str] = []
    for block in re.split(r"\n(?=\S)", docstring.strip())[1:]:
        heading, _, body = block.partition("\n")
        paragraphs = [" ".join(paragraph.split()) for paragraph in body.split("\n\n")]
        parts += [f"## {heading.strip()}", *(_escaped(paragraph) for paragraph in paragraphs if paragraph)]
    return "\n\n".join(parts)


def html(text: str) -> Markup:
    """The text as HTML, with exponents as superscripts and preprints as links."""
    return Markup(ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', raised(escape(text))))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. A `|` within a cell is escaped."""
    return "\n".join([_line(head), f"|{'---|' * len(head)}", *map(_line, rows)])


def raised(text: str) -> str:
    """The text with exponents as superscripts, as in e<sup>i</sup>, and ± for +-. Code between backticks is unchanged."""
    return _outside_code(lambda part: EXPONENT.sub(_superscript, part.replace("+-", "±")), text)


def _line(cells: Sequence[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in (cell.replace("|", r"\|") for cell in cells)) + "|"


def _superscript(found: re.Match[str]) -> str:
    return f"<sup>{found[1].strip('{}')}</sup>"


def _escaped(text: str) -> str:
    """The text in Markdown, where emphasis and HTML outside of code are escaped."""
    literal = _outside_code(lambda part: re.sub(r"([*_<\[\]])", r"\\\1", part), text)
    return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", raised(literal))


def _outside_code(change: Callable[[str], str], text: str) -> str:
    return "`".join(part if odd % 2 else change(part) for odd, part in enumerate(text.split("`")))
