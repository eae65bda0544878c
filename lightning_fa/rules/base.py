"""What a learning rule is: another answer to "which error reaches this layer?".

Forward values, activation derivatives and local weight gradients stay with autograd. A rule answers for one of three
families, and each family leaves exactly one function abstract:

* :class:`TransportRule`: the error travels layer by layer, through :meth:`~TransportRule.carrier` in place of W;
* :class:`DirectRule`: the graph is cut at block outputs, and each block is handed :meth:`~DirectRule.deliver` of e;
* :class:`LocalRule`: the graph is cut as well, and each block descends its own :meth:`~LocalRule.local_loss`.

Rules are frozen dataclasses of strings and numbers. They hold no state: what they draw or learn lives in the model.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor


class Rule(ABC):  # noqa: B024 (each family has its own abstract function)
    """Abstract. Use one of the three families as a base."""

    learned: ClassVar[bool] = False
    """Whether feedback is learned: then it is a parameter, which the model's own optimizer trains."""

    def config(self) -> dict[str, Any]:
        """Class name and settings as strings and numbers; a tensor given by the user is named by its checksum."""
        settings = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return {"rule": type(self).__name__, **settings}


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous()
        digest = hashlib.sha256(data.flatten().view(torch.uint8).numpy().tobytes())
        return f"tensor{tuple(data.shape)}:{digest.hexdigest()[:16]}"
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


class TransportRule(Rule):
    """Abstract. Every weight layer sends ``carrier^T delta`` down instead of ``W^T delta``."""

    def initial(self, name: str, weight: Tensor) -> Tensor | None:
        """The matrix B drawn for layer ``name``, in the shape of ``weight``; ``None`` where the rule stores none."""
        return None

    @abstractmethod
    def carrier(self, weight: Tensor, feedback: Tensor | None) -> Tensor:
        """What stands for ``weight`` in this backward, in its shape; ``feedback`` is what :meth:`initial` returned."""


class DirectRule(Rule):
    """Abstract. Block i receives ``deliver(e, B^i)`` at its output h^i, straight from the network's output."""

    linear: ClassVar[bool] = True
    """Whether ``deliver`` is linear in e; if not, it is called with e free of any factor before the loss."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> Tensor | None:
        """B^i for the block ``name``: ``(width of h^i, outputs of the network)``."""

    @abstractmethod
    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        """The error at h^i. ``e``: ``(rows, outputs)``; ``feedback``: B^i; returns ``(rows, width)``."""

    def lesson(self, e: Tensor, h: Tensor, feedback: Tensor) -> Tensor:
        """The gradient of a learned B^i. ``h``: ``(rows, width)``."""
        raise NotImplementedError(f"{type(self).__name__} says `learned`, and has no `lesson`.")


class LocalRule(Rule):
    """Abstract. Block i descends ``local_loss(h^i, y, B^i)``; the last block descends the true loss."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> Tensor | None:
        """B^i for the block ``name``: ``(width of h^i, outputs of the network)``."""

    @abstractmethod
    def local_loss(self, h: Tensor, targets: Tensor, feedback: Tensor) -> Tensor:
        """A scalar. ``h``: ``(rows, width)``; ``targets``: ``(rows,)`` classes or ``(rows, outputs)``."""
