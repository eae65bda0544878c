"""Rules that nobody here wrote: a mistake in one is named before a step is spent."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.rules.base import DirectRule, LocalRule, SyntheticRule
from tests.problems import mlp


@dataclass(frozen=True)
class Transposed(DirectRule):
    """Delivers with B where its transpose belongs."""

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.ones(width, outputs)

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback


@dataclass(frozen=True)
class PerBatch(DirectRule):
    """One row for the batch, which a reshape or an expansion would hide."""

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.ones(width, outputs)

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return (e @ feedback.T).sum(0, keepdim=True)


@dataclass(frozen=True)
class WrongLesson(DirectRule):
    """Learns B in the shape of its transpose."""

    learned = True

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.ones(width, outputs)

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T

    def lesson(self, e: Tensor, h: Tensor, feedback: Tensor) -> Tensor:
        return e.T @ h


@dataclass(frozen=True)
class Narrow(DirectRule):
    """Delivers the error itself."""

    hears: ClassVar[str] = "the block below"

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.ones(width, outputs)

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e


@dataclass(frozen=True)
class Predicts(SyntheticRule):
    """Predicts one number per sample."""

    def initial(self, name: str, width: int, outputs: int) -> dict[str, Tensor]:
        return {"A": torch.zeros(width, 1)}

    def outputs(self, theta) -> int:
        return 0

    def predict(self, h: Tensor, y: Tensor | None, theta) -> Tensor:
        return h @ theta["A"]


EARLY = [
    (Transposed(), r"Transposed\.deliver for block '0': expected .*\(2, 12\), but it raised RuntimeError"),
    (PerBatch(), r"PerBatch\.deliver for block '0': expected .*\(2, 12\), but got shape \(1, 12\)"),
    (WrongLesson(), r"WrongLesson\.lesson for block '0': expected .*\(12, 5\), but got shape \(5, 12\)"),
    (Narrow(), r"Narrow\.deliver for block '0': expected .*\(2, 12\), but got shape \(2, 5\)"),
    (Predicts(), r"Predicts\.predict for block '0': expected .*\(2, 12\), but got shape \(2, 1\)"),
]


@pytest.mark.parametrize(("rule", "message"), EARLY, ids=[type(rule).__name__ for rule, _ in EARLY])
def test_a_wrong_shape_names_rule_block_and_shapes_before_training(rule, message):
    """PyTorch's own error comes out of backward, hours later on a busy cluster, and names none of them."""
    model = mlp()
    with pytest.raises(ValueError, match=message):
        fa.attach(model, rule)
    assert type(model[0]) is nn.Linear


@dataclass(frozen=True)
class PerSample(LocalRule):
    """A loss per sample, which would be summed where the others are means."""

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.ones(width, outputs)

    def local_loss(self, h: Tensor, targets: Tensor, feedback: Tensor) -> Tensor:
        return h.sum(1)


@dataclass(frozen=True)
class PerSampleLearned(LocalRule):
    """As above, where the loss has a parameter."""

    learned: ClassVar[bool] = True
    maps: ClassVar[bool] = True

    def initial(self, name: str, shape, outputs: int) -> dict[str, Tensor]:
        return {"P": torch.zeros(shape[0])}

    def local_loss(self, h: Tensor, targets: Tensor, theta) -> Tensor:
        return h @ theta["P"]


@pytest.mark.parametrize("rule", [PerSample(), PerSampleLearned()], ids=["fixed", "learned"])
def test_a_local_loss_that_is_no_scalar_is_named_in_the_first_pass(rule):
    """Autograd takes only scalars, and says so without the name of the rule."""
    model = mlp()
    fa.attach(model, rule).targets = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"local_loss for block '0': expected a scalar, but got shape \(2,\)"):
        model(torch.randn(2, 10))


def test_a_rule_that_is_no_dataclass_is_refused_at_once():
    """Its settings could not be written into a checkpoint: it used to train until the first one."""

    class Plain(DirectRule):
        initial = Transposed.initial
        deliver = PerBatch.deliver

    with pytest.raises(TypeError, match=r"Plain to be a dataclass.*@dataclass\(frozen=True"):
        fa.attach(mlp(), Plain())
