"""A learning rule answers one question: which error reaches this layer?

Forward values, activation derivatives and local weight gradients stay with autograd. A rule belongs to one of four families.
The families differ in when the error of a layer is known. Each family leaves one function to the rule:

* :class:`TransportRule`: layer by layer, in backward. :meth:`~TransportRule.carrier` returns the backward weight.
* :class:`DirectRule`: at the network's output. Each block receives :meth:`~DirectRule.deliver` of e.
* :class:`LocalRule`: at the block, in forward. Each block minimises its own :meth:`~LocalRule.local_loss`.
* :class:`SyntheticRule`: at the block, in forward, as a prediction. :meth:`~SyntheticRule.predict` computes the prediction.

Rules are frozen dataclasses of strings and numbers. They hold no state: the model holds the tensors that a rule draws or learns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from torch import Tensor

from lightning_fa.feedback import described


class Rule(ABC):
    """Abstract. Derive a rule from one of the families. The attributes declare the rule's properties, which tests verify."""

    learned: ClassVar[bool] = False
    """Whether feedback is learned. Learned feedback is a parameter, which the model's own optimizer trains."""
    forgetting: float | None = None
    """Lambda, if learned feedback is a running average of its lessons, which is independent of the optimizer."""
    linear: ClassVar[bool] = True
    """Whether the gradients of hidden layers are linear in e. If not, a direct rule gets e without the factor before the loss."""
    stochastic: ClassVar[bool] = False
    """Whether the rule draws new random numbers in every forward pass."""
    control: ClassVar[bool] = False
    """Whether the rule is backpropagation itself."""
    complex_valued: ClassVar[bool] = False
    """Whether the rule is defined for complex weights. B is then drawn real, and held as complex numbers."""
    silent: ClassVar[bool] = False
    """Whether feedback begins at zero, so that hidden layers receive nothing in the first step."""
    hears: ClassVar[str]
    """Where the error of a block comes from: ``"the layer above"``, ``"the output"``, ``"the block below"``, ``"the block
    above"`` or ``"the head"``; ``"nothing"`` if the error depends on nothing outside the block."""
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
        """Class name and settings as strings and numbers. A tensor given by the user is replaced by its checksum."""
        settings = {f.name: described(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return {"rule": type(self).__name__, **settings}


class TransportRule(Rule):
    """Abstract. Every weight layer sends ``carrier^T delta`` down, not ``W^T delta``. Only :meth:`carrier` is required."""

    hears: ClassVar[str] = "the layer above"
    symbol: ClassVar[str] = "B"
    """Symbol of the backward weight in the table that ``print(attached)`` shows."""
    matrixwise: ClassVar[bool] = False
    """Whether ``carrier`` needs a convolution's weight as a matrix (rows, columns), or (groups, rows, columns)."""
    taught: ClassVar[bool] = False
    """Whether :meth:`lesson` is the gradient of learned feedback. Otherwise learned feedback receives the gradient of W."""

    def initial(self, name: str, weight: Tensor) -> Tensor | None:
        """The matrix B drawn for layer ``name``, in the shape of ``weight``; ``None`` if the rule stores no B."""
        return None

    def stream(self, name: str) -> Tensor | None:
        """The state of the layer's :func:`lightning_fa.stream.stream`, which advances in every forward pass, or ``None``."""
        return None

    def redraw(self, weight: Tensor, state: Tensor) -> Tensor:
        """The B of this step, in the shape and dtype of ``weight``. For rules with a stream and without a lesson."""
        raise NotImplementedError(f"{type(self).__name__} has a stream, but defines no `redraw`.")

    def lesson(self, weight: Tensor, feedback: Tensor, state: Tensor) -> Tensor:
        """The gradient of B in this step. For rules with :attr:`taught`."""
        raise NotImplementedError(f"{type(self).__name__} declares `taught`, but defines no `lesson`.")

    def mask(self, name: str, weight: Tensor) -> Tensor | None:
        """Which entries of W exist, as booleans. The other entries are set to zero and stay zero."""
        return None

    def couple(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[str, bool]]:
        """Layers whose B is the weight of another layer: ``{layer: (other layer, whether its weight is transposed)}``."""
        return {}

    @property
    def needs_loss(self) -> bool:
        return self.taught

    @property
    def error(self) -> str:  # type: ignore[override]
        return f"{self.symbol}^T delta of the layer above"

    @abstractmethod
    def carrier(self, weight: Tensor, feedback: Any) -> Tensor:
        """The backward weight, in the shape of ``weight``. ``feedback`` is the layer's B, ``None`` if the rule stores no B."""


class DirectRule(Rule):
    """Abstract. Block i receives ``deliver(e, B^i)`` at its output h^i, straight from the network's output."""

    hears: ClassVar[str] = "the output"
    """``"the block below"``: the error is delivered to the first block, from which the network's own W carry it upwards.
    ``"nothing"``: no error is delivered, and the parameters outside the head are frozen."""
    error: str = "the output's error, by B"
    spatial: str = "dense"
    """``dense``: a row of B for every unit. ``shared``: a row for every channel; all positions receive the same error."""

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> Tensor | None:
        """B^i for the block ``name``: ``(width of h^i, outputs of the network)``."""

    @abstractmethod
    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        """The error at h^i. ``e``: ``(rows, outputs)``; ``feedback``: B^i; returns ``(rows, width)``."""

    def lesson(self, e: Tensor, h: Tensor, feedback: Tensor) -> Tensor:
        """The gradient of a learned B^i. ``h``: ``(rows, width)``."""
        raise NotImplementedError(f"{type(self).__name__} declares `learned`, but defines no `lesson`.")


class SyntheticRule(Rule):
    """Abstract. Block i receives a prediction of its error. The predictor learns from the true error."""

    hears: ClassVar[str] = "the block above"
    learned: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    silent: ClassVar[bool] = True
    error: str = "a prediction"
    at: str | Sequence[str] = "*"
    """Name patterns of the blocks whose error is predicted. The other blocks receive the true error of the block above."""
    spatial: str = "shared"
    """``shared``: one predictor, applied at every position of h. ``dense``: one predictor of the whole h."""
    warm_up: int = 0
    """Number of forward passes in training mode during which the predictor only learns and blocks receive the true error."""
    alpha: float = 0.0
    """Weight of the predictor's own loss in the gradient at h."""
    share: float = 1.0
    """Weight of the prediction in the gradient at h."""
    labels: bool = True
    """Whether the predictor reads the targets."""

    @property
    def needs_targets(self) -> bool:
        return self.labels

    @abstractmethod
    def initial(self, name: str, width: int, outputs: int) -> dict[str, Tensor]:
        """The initial parameters of the predictor of block ``name``, by letter."""

    @abstractmethod
    def outputs(self, theta: Mapping[str, Tensor]) -> int:
        """The number of network outputs that ``theta`` was made for; 0 without labels."""

    @abstractmethod
    def predict(self, h: Tensor, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        """The gradient of a sample's loss at h. ``h``: ``(rows, width)``; ``y``: ``(rows, outputs)``, one-hot for classes."""


class LocalRule(Rule):
    """Abstract. Block i minimises ``local_loss(h^i, y, B^i)``. The last block minimises the true loss."""

    hears: ClassVar[str] = "nothing"
    linear: ClassVar[bool] = False
    error: str = "the error of its own loss"
    takes: ClassVar[str] = "any"
    """What targets must be: ``"classes"`` (integers, where -100 is ignored, or rows of probabilities), ``"values"`` (floats,
    one per output, where NaN is ignored), or ``"any"``, where integers are classes and floats are values."""
    advice: ClassVar[str] = ""
    """Last sentence of an error about the targets: what the user should do instead."""
    maps: ClassVar[bool] = False
    """Whether ``local_loss`` receives h as ``(samples, channels, ...)``; a sequence may change its length. Else (rows, width)."""

    @property
    def needs_targets(self) -> bool:
        return True

    @abstractmethod
    def initial(self, name: str, width: Any, outputs: int) -> Any:
        """B^i for the block ``name``: one tensor, ``(width of h^i, outputs of the network)``, or several tensors by letter.

        ``width``: the width of h^i; with :attr:`maps` (channels, ...); with :meth:`renew` (width, head's fan-in).
        """

    def renew(self, head: Tensor, feedback: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """If :attr:`hears` is "the head": new tensors for a block to hold, computed from ``head``, the weight of an nn.Linear."""
        raise NotImplementedError(f"{type(self).__name__} hears the head, but defines no `renew`.")

    @abstractmethod
    def local_loss(self, h: Tensor, targets: Tensor, feedback: Any) -> Tensor:
        """A scalar. ``targets``: ``(rows,)`` classes or ``(rows, outputs)`` values; ``feedback``: as :meth:`initial` gave it."""
