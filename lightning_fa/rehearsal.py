"""Dry runs: forward passes before training begins, which leave no trace but the feedback that they draw."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_fa.undisturbed import undisturbed
from lightning_fa.wiring import Survey, Wiring, survey


def rehearse(model: nn.Module, wiring: Wiring, example: Any, ungoverned: Collection[Tensor] = ()) -> None:
    """Run the attached ``model`` on ``example``, so that ``wiring`` draws all feedback and checks the cut.

    Args:
        model: The attached model.
        wiring: The rule in the model.
        example: A tensor, a tuple of arguments or a mapping of keywords.
        ungoverned: The excluded parameters.

    Raises:
        LeakError: a true gradient would cross from one block into another.
    """
    with wiring.step.rehearsal():
        output = run_example(model, example)
    wiring.check_output(output, ungoverned)


def look_at(model: nn.Module, example: Any) -> Survey:
    """Run the plain ``model`` on ``example``, and record what it calls and where it can be cut."""
    return survey(model, lambda: run_example(model, example, _with_gradient))


def run_example(model: nn.Module, example: Any, given: Callable[[Any], Any] = lambda value: value) -> Any:
    """The output of ``model``, in evaluation mode and with gradients on. The model and the RNG states are as before afterwards.

    Args:
        model: Any module.
        example: A tensor, a tuple of arguments or a mapping of keywords.
        given: Applied to each argument first.
    """
    with undisturbed(model), torch.enable_grad():
        model.eval()
        if isinstance(example, Mapping):
            return model(**{name: given(value) for name, value in example.items()})
        if isinstance(example, tuple):
            return model(*[given(value) for value in example])
        return model(given(example))


def _with_gradient(value: Any) -> Any:
    real = isinstance(value, Tensor) and value.is_floating_point()
    return value.detach().clone().requires_grad_() if real else value
