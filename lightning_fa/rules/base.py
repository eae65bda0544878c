"""What a learning rule is: another answer to "which error reaches this layer?".

Forward values, activation derivatives and local weight gradients stay with autograd. A rule answers for one of these
families, and each family leaves exactly one function abstract:

* :class:`TransportRule`: the error travels layer by layer, through :meth:`~TransportRule.carrier` in place of W;
* :class:`DirectRule`: the graph is cut at block outputs, and each block is handed :meth:`~DirectRule.deliver` of e;
* :class:`LocalRule`: the graph is cut as well, and each block descends its own :meth:`~LocalRule.local_loss`;
* :class:`AuxiliaryRule`: the same, where that loss has parameters of its own to learn;
* :class:`SyntheticRule`: between two blocks, :meth:`~SyntheticRule.predict` answers the lower one;
* :class:`IndirectRule`: the error enters at the first block, and travels forward;
* :class:`FrozenRule`: there is no error below the head.

Rules are frozen dataclasses of strings and numbers. They hold no state: what they draw or learn lives in the model.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor


class Rule(ABC):  # noqa: B024 (each family has its own abstract function)
    """Abstract. Use one of the families as a base."""

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
    """Abstract. Every weight layer sends ``carrier^T delta`` down instead of ``W^T delta``.

    Beside :meth:`carrier` a rule says what else it needs, if anything; by default it is nothing.
    """

    symbol: ClassVar[str] = "B"
    """What stands for W in the table that ``print(attached)`` shows."""
    control: ClassVar[bool] = False
    """Whether W itself carries the error, so that a layer of an unknown type keeps its own forward and backward pass."""
    matrixwise: ClassVar[bool] = False
    """Whether ``carrier`` needs a convolution's weight as a matrix (rows, columns), or (groups, rows, columns)."""
    taught: ClassVar[bool] = False
    """Whether learned feedback receives :meth:`lesson`; otherwise it receives the gradient of W."""

    def initial(self, name: str, weight: Tensor) -> Tensor | None:
        """The matrix B drawn for layer ``name``, in the shape of ``weight``; ``None`` where the rule stores none."""
        return None

    def stream(self, name: str) -> Tensor | None:
        """The state of a :func:`lightning_fa.stream.stream` for the layer, which advances at every forward pass."""
        return None

    def redraw(self, weight: Tensor, state: Tensor) -> Tensor:
        """The B of this step, in the shape and dtype of ``weight``, of a rule with a stream and no lesson."""
        raise NotImplementedError(f"{type(self).__name__} has a stream, and no `redraw`.")

    def lesson(self, weight: Tensor, feedback: Tensor, state: Tensor) -> Tensor:
        """The gradient of B in this step, of a rule that says ``taught``."""
        raise NotImplementedError(f"{type(self).__name__} says `taught`, and has no `lesson`.")

    def mask(self, name: str, weight: Tensor) -> Tensor | None:
        """Which entries of W exist, as booleans: the others are zero from now on."""
        return None

    def couple(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[str, bool]]:
        """Layers whose B is the weight of another: ``{layer: (the other, whether it is transposed)}``."""
        return {}

    @abstractmethod
    def carrier(self, weight: Tensor, feedback: Tensor | None) -> Tensor:
        """What stands for ``weight`` in this backward, in its shape; ``feedback`` is what :meth:`initial` returned."""


class DirectRule(Rule):
    """Abstract. Block i receives ``deliver(e, B^i)`` at its output h^i, straight from the network's output."""

    linear: ClassVar[bool] = True
    """Whether ``deliver`` is linear in e; if not, it is called with e free of any factor before the loss."""
    spatial: str = "dense"
    """``dense``: a row of B for every unit; ``shared``: for every channel, and all positions receive the same error."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> Tensor | None:
        """B^i for the block ``name``: ``(width of h^i, outputs of the network)``."""

    @abstractmethod
    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        """The error at h^i. ``e``: ``(rows, outputs)``; ``feedback``: B^i; returns ``(rows, width)``."""

    def lesson(self, e: Tensor, h: Tensor, feedback: Tensor) -> Tensor:
        """The gradient of a learned B^i. ``h``: ``(rows, width)``."""
        raise NotImplementedError(f"{type(self).__name__} says `learned`, and has no `lesson`.")


class IndirectRule(Rule):
    """Abstract. The first block receives ``deliver(e, B)``; the network's own W carry it forward to the others."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        """B for the first block: ``(width of h^1, outputs of the network)``."""

    @abstractmethod
    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        """The error at h^1. ``e``: ``(rows, outputs)``; returns ``(rows, width)``."""


class FrozenRule(Rule):
    """Abstract. Blocks below the head receive no error at all."""

    @abstractmethod
    def instead(self) -> str:
        """What the table shows where other rules have an error."""


class SyntheticRule(Rule):
    """Abstract. Block i receives a prediction of its error, which learns from the true one."""

    learned: ClassVar[bool] = True
    at: str | Sequence[str] = "*"
    """Name patterns of the blocks whose error is predicted; to the others the true one travels, as in backpropagation."""
    spatial: str = "shared"
    """``shared``: one predictor for all positions of h; ``dense``: one of the whole of h."""
    warm_up: int = 0
    """For how many forward passes in training mode the prediction only learns, and blocks receive the true error."""
    alpha: float = 0.0
    """Weight of the gradient of the prediction's own loss, added to what h receives."""
    share: float = 1.0
    """Weight of the prediction itself."""
    labels: bool = True
    """Whether the prediction sees the targets."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> dict[str, Tensor]:
        """What the predictor of block ``name`` learns, by letter."""

    @abstractmethod
    def outputs(self, theta: Mapping[str, Tensor]) -> int:
        """The number of the network's outputs, which theta was made for; 0 without labels."""

    @abstractmethod
    def predict(self, h: Tensor, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        """The gradient of a sample's loss at h. ``h``: ``(rows, width)``; ``y``: ``(rows, outputs)``, one-hot for classes."""


class AuxiliaryRule(Rule):
    """Abstract. Block i descends ``local_loss(h^i, y, theta^i)``, and so does theta^i; the last block the true loss."""

    learned: ClassVar[bool] = True
    takes: ClassVar[str] = "any"
    """See :attr:`LocalRule.takes`."""
    advice: ClassVar[str] = ""
    """See :attr:`LocalRule.advice`."""

    @abstractmethod
    def initial(self, name: str, shape: Sequence[int], outputs: int) -> dict[str, Tensor]:
        """What block ``name`` learns for its loss, by letter. ``shape``: of h^i, without the samples."""

    @abstractmethod
    def local_loss(self, h: Tensor, targets: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
        """A scalar. ``h``: ``(rows, *shape)``; ``targets``: ``(rows,)`` classes or ``(rows, outputs)`` values."""


class LocalRule(Rule):
    """Abstract. Block i descends ``local_loss(h^i, y, B^i)``; the last block descends the true loss."""

    takes: ClassVar[str] = "any"
    """What targets must be: ``"classes"`` (integers, -100 to be ignored, or rows of probabilities), ``"values"`` (floats, one
    per output, NaN to be ignored), or ``"any"``, where integers are classes and floats are values."""
    advice: ClassVar[str] = ""
    """What an error about the targets tells the user to do instead."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> Tensor | None:
        """B^i for the block ``name``: ``(width of h^i, outputs of the network)``."""

    @abstractmethod
    def local_loss(self, h: Tensor, targets: Tensor, feedback: Tensor) -> Tensor:
        """A scalar. ``h``: ``(rows, width)``; ``targets``: ``(rows,)`` classes or ``(rows, outputs)`` values."""
