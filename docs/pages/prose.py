"""Converts docstrings of the library to Markdown that code hosts render too: math in dollars, roles as code."""

from __future__ import annotations

import re
import textwrap

ROLE = re.compile(r":(?:class|func|meth|attr|mod|data|obj):`~?([^`]+)`")
MATH = re.compile(r":math:`([^`]+)`")
CODE = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1    [^\n]*\n?|\n)+)", re.MULTILINE)
BLOCK = re.compile(r"^( *)\.\. math::([^\n]*(?:\n+\1 +[^\n]+)*)", re.MULTILINE)


def markdown(text: str) -> str:
    """The text with roles and directives replaced by Markdown. The rest is unchanged."""
    text = BLOCK.sub(lambda found: _display(found[1], found[2]), text)
    text = CODE.sub(lambda found: f"{found[1]}```{found[2]}\n{_outdented(found[3])}\n{found[1]}```\n\n", text)
    text = MATH.sub(lambda found: f"${found[1].strip()}$", text)
    return ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text).replace("``", "`")


def _outdented(code: str) -> str:
    return re.sub(r"^    ", "", code.rstrip(), flags=re.MULTILINE)


def _display(indent: str, body: str) -> str:
    formula = " ".join(body.split())
    return f"{indent}$$\n{indent}{formula}\n{indent}$$"


def parts(docstring: str) -> dict[str, str]:
    """{section: its text}, such as ``Args`` and ``References``. The text before the first section has the key ""."""
    text = markdown(textwrap.dedent(docstring).strip())
    found, name = {"": ""}, ""
    for line in text.splitlines():
        heading = re.fullmatch(r"(Args|References|Raises|Returns|Attributes): ?(.*)", line)
        name = heading[1] if heading else name
        found[name] = found.get(name, "") + (heading[2] if heading else line) + "\n"
    return {key: textwrap.dedent(value).strip() for key, value in found.items()}


def listed(arguments: str) -> str:
    """A Markdown list of arguments, from lines ``name: description`` with indented continuations."""
    items = re.split(r"\n(?=\S)", arguments)
    split = [(name.strip(), " ".join(text.split())) for name, _, text in (item.partition(":") for item in items)]
    return "\n".join(f"- `{name}`: {text}" for name, text in split)
