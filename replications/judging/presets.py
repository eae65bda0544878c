"""The lengths in which a paper can be run; a paper defines those that make sense for it."""

LOOK = "smoke"
PRESETS = (LOOK, "quick", "reduced", "full")
"""From the shortest to the longest: a look whether it works; minutes; the paper's networks at a length that two cores can
do; the paper's settings."""


def at_least(preset: str, least: str) -> bool:
    """Whether the runs of `preset` are as long as those of `least`, or longer."""
    return PRESETS.index(preset) >= PRESETS.index(least)
