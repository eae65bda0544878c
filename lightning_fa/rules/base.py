"""What a learning rule is: another answer to "which error reaches this layer?".

Forward values, activation derivatives and local weight gradients stay with autograd. A rule belongs to one of four families.
They differ in when the error of a layer is known, and each family leaves one function to the rule:

* :class:`TransportRule`: layer by layer, on the way down. :meth:`~TransportRule.carrier` stands for W.
* :class:`DirectRule`: at the network's output. Each block is handed :meth:`~DirectRule.deliver` of e.
* :class:`LocalRule`: at the block, in forward. Each block descends its own :meth:`~LocalRule.local_loss`.
* :class:`SyntheticRule`: in forward as a guess. :meth:`~SyntheticRule.predict` makes it, and the true error corrects it.

Rules are frozen dataclasses of strings and numbers. They hold no state: what they draw or learn lives in the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from torch import Tensor

from lightning_fa.feedback import described


class Rule(ABC):
    """Abstract. Use one of the families as a base. The attributes declare the rule's nature, which tests verify."""

    learned: ClassVar[bool] = False
    """Whether feedback is learned: then it is a parameter, which the model's own optimizer trains."""
    forgetting: float | None = None
    """Lambda, where learned feedback is a running average of its lessons and no optimizer decides how it moves."""
    linear: ClassVar[bool] = True
    """Whether the gradients of hidden layers are linear in e. If not, a direct rule gets e free of any factor before the loss."""
    stochastic: ClassVar[bool] = False
    """Whether the rule draws anew in every forward pass."""
    control: ClassVar[bool] = False
    """Whether the rule is backpropagation itself."""
    silent: ClassVar[bool] = False
    """Whether feedback begins at zero, so that hidden layers receive nothing in the first step."""
    hears: ClassVar[str]
    """What the error of a block depends on, beside the block: ``"the layer above"``, ``"the output"``, ``"the block below"``,
    ``"the block above"``, ``"the head"`` or ``"nothing"``."""
    error: str
    """What a block below the head receives, in words."""

    @property
    def cuts(self) -> bool:
        """Whether no true gradient travels between the blocks of the network."""
        return self.hears != "the layer above"

    @property
    def needs_targets(self) -> bool:
        """Whether the rule reads the targets."""
        return False

    @property
    def needs_loss(self) -> bool:
        """Whether the loss must pass through :meth:`lightning_fa.Attached.loss`."""
        return not self.linear

    def config(self) -> dict[str, Any]:
        """Class name and settings as strings and numbers; a tensor given by the user is named by its checksum."""
        settings = {f.name: described(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return {"rule": type(self).__name__, **settings}


class TransportRule(Rule):
    """Abstract. Every weight layer sends ``carrier^T delta`` down, not ``W^T delta``. All but :meth:`carrier` is optional."""

    hears: ClassVar[str] = "the layer above"
    symbol: ClassVar[str] = "B"
    """What stands for W in the table that ``print(attached)`` shows."""
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

    @property
    def needs_loss(self) -> bool:
        return self.taught

    @property
    def error(self) -> str:  # type: ignore[override]
        return f"{self.symbol}^T delta of the layer above"

    @abstractmethod
    def carrier(self, weight: Tensor, feedback: Any) -> Tensor:
        """The backward weight: what stands for ``weight``, in its shape. ``feedback`` is what :meth:`initial` returned."""


class DirectRule(Rule):
    """Abstract. Block i receives ``deliver(e, B^i)`` at its output h^i, straight from the network's output."""

    hears: ClassVar[str] = "the output"
    """``"the block below"``: the error is delivered to the first block alone, and the network's own W carry it up from there.
    ``"nothing"``: nothing is delivered, and all but the head is frozen."""
    error: str = "the output's error, by B"
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


class SyntheticRule(Rule):
    """Abstract. Block i receives a prediction of its error, which learns from the true one."""

    hears: ClassVar[str] = "the block above"
    learned: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    silent: ClassVar[bool] = True
    error: str = "a prediction"
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

    @property
    def needs_targets(self) -> bool:
        return self.labels

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> dict[str, Tensor]:
        """What the predictor of block ``name`` learns, by letter."""

    @abstractmethod
    def outputs(self, theta: Mapping[str, Tensor]) -> int:
        """The number of the network's outputs, which theta was made for; 0 without labels."""

    @abstractmethod
    def predict(self, h: Tensor, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        """The gradient of a sample's loss at h. ``h``: ``(rows, width)``; ``y``: ``(rows, outputs)``, one-hot for classes."""


class LocalRule(Rule):
    """Abstract. Block i descends ``local_loss(h^i, y, B^i)``; the last block descends the true loss."""

    hears: ClassVar[str] = "nothing"
    linear: ClassVar[bool] = False
    error: str = "that of its own loss"
    takes: ClassVar[str] = "any"
    """What targets must be: ``"classes"`` (integers, -100 to be ignored, or rows of probabilities), ``"values"`` (floats, one
    per output, NaN to be ignored), or ``"any"``, where integers are classes and floats are values."""
    advice: ClassVar[str] = ""
    """What an error about the targets tells the user to do instead."""
    maps: ClassVar[bool] = False
    """Whether h comes in its own shape, ``(samples, ...)``; else as ``(rows, width)``."""

    @property
    def needs_targets(self) -> bool:
        return True

    @abstractmethod
    def initial(self, name: str, width: Any, outputs: int) -> Any:
        """B^i for the block ``name``: one tensor, ``(width of h^i, outputs of the network)``, or several by name.

        ``width``: with :attr:`maps` the shape of h^i without the samples; of a rule that hears the head, also its input's.
        """

    def renew(self, head: Tensor, feedback: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Where :attr:`hears` is "the head", an ``nn.Linear``: what a block holds from now on, given its weight; new tensors."""
        raise NotImplementedError(f"{type(self).__name__} hears the head, and has no `renew`.")

    @abstractmethod
    def local_loss(self, h: Tensor, targets: Tensor, feedback: Any) -> Tensor:
        """A scalar. ``targets``: ``(rows,)`` classes or ``(rows, outputs)`` values; ``feedback``: as :meth:`initial` gave it."""
