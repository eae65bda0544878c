"""docs/examples.md, from examples/*.py, and docs/feedback_alignment.md with its pictures, from the notebook."""

from __future__ import annotations

import ast
import base64
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
NOTEBOOK = FOLDER / "feedback_alignment.ipynb"
ORDER = (
    "own_module",
    "compare_rules",
    "resnet_by_blocks",
    "fine_tuning",
    "sequence",
    "cli",
    "fabric",
    "own_rule",
    "deepest_mlp",
)


def pages() -> dict[str, str | bytes]:
    """{path below docs/: content}."""
    return {"examples.md": _scripts(), **_notebook()}


def _scripts() -> str:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    parts = [
        "# Examples",
        "Each file answers one question and runs on a laptop without a download. The tests run a small version of every file. "
        "[A notebook](feedback_alignment.md) shows how feedback alignment learns.",
    ]
    for name in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        question = (ast.get_docstring(ast.parse(source)) or name).splitlines()[0]
        parts += [
            f"## {question}",
            f"[`examples/{name}.py`](../examples/{name}.py)",
            f"```python\n{source.strip()}\n```",
        ]
        settings = FOLDER / f"{name}.yaml"
        if settings.is_file():
            parts += [f"`examples/{settings.name}`:", f"```yaml\n{settings.read_text('utf-8').strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _notebook() -> dict[str, str | bytes]:
    parts = []
    files: dict[str, str | bytes] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output["data"]
            if "image/png" in data:
                path = f"assets/feedback_alignment_{len(files)}.png"
                files[path] = base64.b64decode(data["image/png"])
                parts.append(f"![The figure that this cell draws]({path})")
            else:
                parts.append(f"```text\n{''.join(data['text/plain'])}\n```")
    parts.insert(
        1, "This page is the notebook [`examples/feedback_alignment.ipynb`](../examples/feedback_alignment.ipynb)."
    )
    return {"feedback_alignment.md": "\n\n".join(parts) + "\n", **files}
