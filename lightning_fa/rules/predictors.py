"""Predictors of a gradient: their initial parameters and their predictions, as functions of tensors, without state.

h is ``(rows, d)``, labels y are ``(rows, K)``, and a prediction is ``(rows, d)``. If a predictor does not read h or y, the
input is ``None``, or its width is 0. All predictors begin with a prediction of zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from lightning_fa.feedback import check_choice, generator


class Initial(Protocol):
    """Makes the initial parameters of a predictor, by letter. ``h`` and ``y`` are widths."""

    def __call__(self, width: int, h: int, y: int, hidden: int, rng: Generator) -> dict[str, Tensor]: ...


class Predict(Protocol):
    """Computes a prediction."""

    def __call__(self, h: Tensor | None, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor: ...


class Predictor(NamedTuple):
    """One kind of predictor."""

    initial: Initial
    predict: Predict


def _zeros(width: int, h: int, y: int, hidden: int, rng: Generator) -> dict[str, Tensor]:
    theta = {"C": torch.zeros(width)}
    if y:
        theta["B"] = torch.zeros(y, width)
    if h:
        theta["A"] = torch.zeros(h, width)
    return theta


def _linear(h: Tensor | None, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    rows = h if h is not None else y
    assert rows is not None
    s = theta["C"].expand(len(rows), -1)
    s = s if h is None else (h @ theta["A"]).add_(s)  # in place, which saves a copy as large as h
    return s if y is None else (y @ theta["B"]).add_(s)


def _sigmoid_zeros(width: int, h: int, y: int, hidden: int, rng: Generator) -> dict[str, Tensor]:
    theta = _zeros(width, h, y, hidden, rng)
    return {**theta, "D": torch.zeros(width)} if h else theta


def _sigmoid(h: Tensor | None, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    rows = h if h is not None else y
    assert rows is not None
    s = theta["C"].expand(len(rows), -1)
    s = s if h is None else s + theta["D"] * torch.sigmoid(h @ theta["A"])
    return s if y is None else s + y @ theta["B"]


def _mlp_initial(width: int, h: int, y: int, hidden: int, rng: Generator) -> dict[str, Tensor]:
    fan_in = h + y
    inner = torch.randn(fan_in, hidden, generator=rng) * (2 / fan_in) ** 0.5
    theta = {
        "U": inner[:h],
        "V": inner[h:],
        "b": torch.zeros(hidden),
        "A": torch.zeros(hidden, width),
        "C": torch.zeros(width),
    }
    return {letter: tensor for letter, tensor in theta.items() if tensor.numel()}


def _mlp(h: Tensor | None, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    inner = theta["b"] if h is None else theta["b"] + h @ theta["U"]
    inner = inner if y is None else inner + y @ theta["V"]
    return torch.relu(inner) @ theta["A"] + theta["C"]


PREDICTORS: dict[str, Predictor] = {
    "linear": Predictor(_zeros, _linear),
    "sigmoid": Predictor(_sigmoid_zeros, _sigmoid),
    "mlp": Predictor(_mlp_initial, _mlp),
}
"""``linear``: hA + yB + C. ``sigmoid``: D * sigmoid(hA) + yB + C. ``mlp``: relu(hU + yV + b) A + C."""
LABELS = {"linear": "B", "sigmoid": "B", "mlp": "V"}
"""The letter whose rows are the components of y."""
INPUTS = ("both", "activations", "labels")


class Choice(Protocol):
    """The settings of a rule that choose the predictor and its inputs."""

    @property
    def seed(self) -> int: ...
    @property
    def predictor(self) -> str: ...
    @property
    def inputs(self) -> str: ...
    @property
    def labels(self) -> bool: ...
    @property
    def hidden(self) -> int: ...
    @property
    def spatial(self) -> str: ...


def check(choice: Choice) -> None:
    """Raise a ``ValueError``, when a rule is constructed, if a setting is invalid."""
    check_choice("predictor", choice.predictor, tuple(PREDICTORS))
    check_choice("inputs", choice.inputs, INPUTS)
    check_choice("spatial", choice.spatial, ("dense", "shared"))
    if choice.hidden < 0:
        raise ValueError(
            f"Expected argument `hidden` to be 0, for the width of the layer, or more, but got {choice.hidden}."
        )


def initial(choice: Choice, name: str, width: int, outputs: int) -> dict[str, Tensor]:
    """The initial parameters of the predictor of block ``name``, by letter."""
    h, y = (0 if choice.inputs == "labels" else width), (outputs if choice.labels else 0)
    return PREDICTORS[choice.predictor].initial(width, h, y, choice.hidden or width, generator(choice.seed, name))


def outputs(choice: Choice, theta: Mapping[str, Tensor]) -> int:
    """The number of network outputs that ``theta`` was made for; 0 without labels."""
    return len(theta[LABELS[choice.predictor]]) if choice.labels else 0


def predict(choice: Choice, h: Tensor, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    """The prediction, from h and y, or from whichever of them the predictor reads."""
    return PREDICTORS[choice.predictor].predict(None if choice.inputs == "labels" else h, y, theta)
