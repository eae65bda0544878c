"""Every measure on a device without float64, as Apple's MPS: the same number as on the CPU."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa import metrics
from lightning_fa.callbacks.comparisons import read_out
from lightning_fa.callbacks.sums import Sums
from lightning_fa.metrics.stateful import moments
from lightning_fa.ops import refuse_zero_sum
from lightning_fa.ops.wide import double, has_float64
from lightning_fa.wiring.blocks.choice import Block

ELSEWHERE = torch.device("mps:0")


class Elsewhere(Tensor):
    """A tensor that says it is on a device which refuses float64, and does not mix with those of the CPU."""

    @property
    def device(self):
        return ELSEWHERE

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        plain = torch._C.DisableTorchFunctionSubclass()
        if function is Tensor.cpu:
            with plain:
                return args[0].as_subclass(Tensor)
        if function is Tensor.to and (torch.device("cpu") in args or "cpu" in args):
            with plain:
                return args[0].as_subclass(Tensor)
        if function is Tensor.to and ELSEWHERE in args:
            return args[0]
        given = torch.utils._pytree.tree_leaves((args, kwargs))
        if function is not Tensor.to:
            assert all(type(t) is cls or t.ndim == 0 for t in given if isinstance(t, Tensor)), (
                f"two devices: {function}"
            )
        result = super().__torch_function__(function, types, args, {k: v for k, v in kwargs.items() if v != ELSEWHERE})
        for each in torch.utils._pytree.tree_leaves(result):
            if isinstance(each, Tensor) and each.dtype == torch.float64:
                raise TypeError(
                    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
                )
        return result


def there(t: Tensor) -> Tensor:
    return t.clone().as_subclass(Elsewhere)


def rows(seed: int, width: int = 4) -> Tensor:
    return torch.randn(6, width, generator=torch.Generator().manual_seed(seed))


LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
H, G, W, B = rows(0), rows(1), rows(2), rows(3)[:4, :3]

MEASURES = {
    "angles": lambda on: metrics.angles(on(H), on(G)),
    "moments": lambda on: moments(on(H), on(G)),
    "output_error": lambda on: metrics.output_error(on(rows(4, 3)), on(LABELS)),
    "output_error of values": lambda on: metrics.output_error(on(H), on(G)),
    "readout_error": lambda on: metrics.readout_error(on(H), on(B), on(LABELS)),
    "accuracy": lambda on: torch.tensor(metrics.accuracy(on(rows(4, 3)), on(LABELS))),
    "dead_units": lambda on: torch.tensor(metrics.dead_units(on(H.clamp_min(0.5) - 0.5))),
    "relative_error": lambda on: metrics.relative_error(on(H), on(G)),
    "implied_loss": lambda on: metrics.implied_loss(on(H), on(W[:4]), on(G)),
    "antisymmetric_share": lambda on: metrics.antisymmetric_share(on(W[:4])),
    "ridge": lambda on: metrics.ridge(on(H), on(G), 0.1)(on(H)),
    "logistic": lambda on: metrics.logistic(on(H), on(LABELS), 3)(on(H)),
    "similarity": lambda on: metrics.similarity(on(H)),
    "representation_similarity": lambda on: metrics.representation_similarity(on(H @ H.T), on(G @ G.T)),
    "class_contrast": lambda on: metrics.class_contrast(metrics.similarity(on(H)), on(LABELS)),
    "linear_cka": lambda on: metrics.linear_cka(on(H), on(G)),
}


def test_the_fake_device_refuses_what_mps_refuses():
    """The tests below would pass on a device that refuses nothing."""
    with pytest.raises(TypeError, match="float64"):
        there(H).double()
    with pytest.raises(TypeError, match="float64"):
        there(H).to(torch.float64)
    with pytest.raises(AssertionError, match="two devices"):
        there(H) + G
    assert type(there(H) + there(G)) is Elsewhere
    assert not has_float64(ELSEWHERE)
    assert torch.equal(double(there(H)), H.double())


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_is_the_same_number_there(measure):
    """On a Mac every monitor would end the training that it looks at."""
    found = MEASURES[measure](there)
    assert type(found) is Tensor
    assert torch.equal(found, MEASURES[measure](lambda t: t))


def test_a_readout_is_compared_there():
    """AlignmentMonitor's own arithmetic."""
    found = []
    for on in (there, lambda t: t):
        sums = Sums()
        read_out(sums, Block("h", nn.Linear(1, 1)), on(B), on(H), on(rows(4, 3)), on(LABELS))
        found.append(sums.moments)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_kickbacks_check_runs_there():
    """The rule would not train at all."""
    e = rows(5, 3)
    assert torch.equal(refuse_zero_sum.__globals__["_refuse_zero_sum"]._init_fn(there(e)).cpu(), e)
    with pytest.raises(RuntimeError, match="sums to zero"):
        refuse_zero_sum.__globals__["_refuse_zero_sum"]._init_fn(there(e - e.mean(1, keepdim=True)))


def test_no_measure_asks_a_tensor_for_float64_itself():
    """What is written next would work on every machine here, and fail on a Mac."""
    root = Path(fa.__file__).parent
    files = [file for part in ("metrics", "callbacks", "ops") for file in (root / part).glob("*.py")]
    asking = [file.name for file in files if ".double()" in file.read_text()]
    assert sorted(asking) == ["wide.py", "zero_sum.py"]
