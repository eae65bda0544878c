"""The 14 configurations of best practices, as changes to the fully connected or the convolutional network."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from replications.papers.launay2019.settings import Settings, Training

DROPOUT: Mapping[str, Mapping[str, Any]] = {
    "drop-high": {"input_dropout": 0.1, "dropout": 0.5},
    "drop-low": {"input_dropout": 0.1, "dropout": 0.1},
}
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "fc-tanh": {},
    "fc-relu": {"activation": "relu"},
    "fc-lrelu.5": {"activation": "leaky-0.5"},
    "fc-lrelu.1": {"activation": "leaky-0.1"},
    "fc-lrelu.01": {"activation": "leaky-0.01"},
    "fc-bn": {"batch_norm": True},
    "fc-nonorm": {"normalised": False},
    "fc-drop-high": DROPOUT["drop-high"],
    "fc-drop-low": DROPOUT["drop-low"],
    "conv-tanh": {},
    "conv-bn": {"batch_norm": True},
    "conv-nonorm": {"normalised": False},
    "conv-drop-high": DROPOUT["drop-high"],
    "conv-drop-low": DROPOUT["drop-low"],
}


def configuration(name: str, settings: Settings) -> Training:
    """The settings of the configuration `name` under direct feedback alignment."""
    base = settings.conv if name.startswith("conv") else settings.fc
    return replace(base, **CHANGES[name])


def baseline(name: str) -> str:
    """The configuration whose backpropagation run is the baseline of `name`. Backpropagation has no feedback to normalise."""
    return name.replace("nonorm", "tanh")
