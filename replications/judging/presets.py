"""The lengths in which a paper can be run; a paper defines those that make sense for it."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

LOOK = "smoke"
PRESETS = (LOOK, "quick", "reduced", "full")
"""From the shortest to the longest: a look whether it works; minutes; the paper's networks at a length that two cores can
do; the paper's settings."""


def at_least(preset: str, least: str) -> bool:
    """Whether the runs of `preset` are as long as those of `least`, or longer."""
    return PRESETS.index(preset) >= PRESETS.index(least)


def changed(preset: str, settings: Mapping[str, Any]) -> str:
    """What a preset with other settings is called, such as "quick+learning_rate=0.05"; without any it keeps its name."""
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    return "".join([preset, *(f"+{name}={value}" for name, value in shown.items())])


def base(preset: str) -> str:
    """The preset whose settings were changed, or itself."""
    return preset.partition("+")[0]


def options(preset: str) -> str:
    """What asks for it on the command line."""
    name, *changes = re.split(r"\+(?=[\w.-]+=)", preset)
    settings = (change.partition("=") for change in changes)
    return " ".join([f"--preset {name}", *(f"--settings.{field} {shlex.quote(value)}" for field, _, value in settings)])
