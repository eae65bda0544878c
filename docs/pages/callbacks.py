"""docs/callback_names.md: the names that the callbacks log."""

from __future__ import annotations

from lightning_fa.callbacks import NAMES
from replications.reporting.prose import table

BY = {
    "align": "AlignmentMonitor",
    "probe": "LinearProbes",
    "rsm": "RepresentationMonitor",
    "weights": "WeightNorms",
    "health": "GradientHealth",
    "sg": "SyntheticGradientMonitor",
}


def pages() -> dict[str, str]:
    """{path below docs/: text}."""
    parts = [
        "# Every name that is logged",
        "`<block>` is the name of a block of the rule, and `<layer>` the name of any chosen module. The names are stable. "
        "`lightning_fa.callbacks.NAMES` holds them in code. [Callbacks](callbacks.md) says what each callback does.",
    ]
    for prefix, callback in BY.items():
        logged = {name: meaning for name, meaning in NAMES.items() if name.split("/")[0] == prefix}
        parts += [
            f"## {callback}",
            table(["name", "meaning"], [(f"`{name}`", meaning) for name, meaning in logged.items()]),
        ]
    missing = [name for name in NAMES if name.split("/")[0] not in BY]
    if missing:
        raise ValueError(f"Expected a callback in docs/pages/callbacks.py for {missing}.")
    return {"callback_names.md": "\n\n".join(parts) + "\n"}
