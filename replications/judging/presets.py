"""The presets: how long the runs of a paper are. A paper need not define every preset."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

LOOK = "smoke"
PRESETS = (LOOK, "quick", "reduced", "full")
"""From the shortest to the longest. `smoke` shows that the code works, `quick` takes minutes, `reduced` trains the paper's
networks as long as two cores can, and `full` has the paper's settings."""


def at_least(preset: str, least: str) -> bool:
    """Whether the runs of `preset` are as long as those of `least`, or longer."""
    return PRESETS.index(preset) >= PRESETS.index(least)


def changed(preset: str, settings: Mapping[str, Any]) -> str:
    """The name of a preset with changed settings, such as "quick+learning_rate=0.05"; `preset` itself without changes."""
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    return "".join([preset, *(f"+{name}={value}" for name, value in shown.items())])


def base(preset: str) -> str:
    """The name of the preset without changes of settings."""
    return preset.partition("+")[0]


def options(preset: str) -> str:
    """The options of the command line that ask for `preset`."""
    name, *changes = re.split(r"\+(?=[\w.-]+=)", preset)
    settings = (change.partition("=") for change in changes)
    return " ".join([f"--preset {name}", *(f"--settings.{field} {shlex.quote(value)}" for field, _, value in settings)])
