"""A rule set aside for a moment, or made to keep its graphs, so that what reaches a hidden layer can be measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fa.attach import Attached
from lightning_fa.surgery import enter, release


@contextmanager
def suspended(attached: Attached) -> Iterator[None]:
    """Inside, the model is plain: forward passes made here are differentiated by backpropagation. Afterwards as before.

    Feedback stays where it is, learned feedback and its optimizer state included.
    """
    targets = attached.targets
    held = [(module, type(module), module.__dict__["_feedback_port"]) for module in attached._wiring.adopted]
    try:
        for module, _, _ in held:
            release(module)
        yield
    finally:
        for module, cls, port in held:
            enter(module, cls, port)
        attached.targets = targets


@contextmanager
def graphs_kept(attached: Attached | None) -> Iterator[None]:
    """Inside, no gradient is computed in the forward pass, so that the loss can be differentiated at hidden outputs."""
    if attached is None:
        yield
        return
    before, attached._wiring.keeping = attached._wiring.keeping, True
    try:
        yield
    finally:
        attached._wiring.keeping = before
