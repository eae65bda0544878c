"""SOLO: which W each block's loss reads, when it is copied anew, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import assert_close, assert_same, distance, read

EPS = torch.finfo(torch.float64).eps
N, K, WIDTH = 6, 4, 8


def network() -> nn.Sequential:
    """Both hidden blocks are as wide as what enters the head."""
    layers = [nn.Linear(7, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, K)]
    return nn.Sequential(*layers).double()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(N, 7, dtype=torch.float64), torch.randint(K, (N,))


def step(model: nn.Module, attached: fa.Attached, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    attached.targets = y
    attached.loss(F.cross_entropy(model(x).flatten(0, -2), y.flatten())).backward()
    return read(model)


def by_hand(model: nn.Sequential, W: Tensor, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Each hidden block's gradient of the cross-entropy of W's readout of its normalised output."""
    found, h = {}, x
    for i in (0, 2):
        h = torch.tanh(F.linear(h.detach(), model[i].weight, model[i].bias))
        loss = F.cross_entropy(F.linear(F.rms_norm(h, (WIDTH,), eps=1e-6), W.detach()), y)
        found[f"{i}.weight"], found[f"{i}.bias"] = torch.autograd.grad(loss, [model[i].weight, model[i].bias])
    return found


def hidden(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: g for name, g in gradients.items() if not name.startswith("4.")}


@pytest.mark.parametrize("example", [False, True], ids=["graphs wait", "gradients in forward"])
@pytest.mark.parametrize("refresh", [1, 3])
def test_every_loss_reads_the_head_as_it_was_at_the_last_refresh(refresh, example):
    """A copy that is never made anew is `lafs`; one that is always new needs the head's stage in every step."""
    model = network()
    attached = fa.attach(model, fa.SharedOutputLocalLearning(refresh=refresh), example=batch()[0] if example else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    copied = model[4].weight.detach().clone()
    for i in range(7):
        x, y = batch()
        if i % refresh == 0:
            copied = model[4].weight.detach().clone()
        expected = by_hand(model, copied, x, y)
        assert_close(hidden(step(model, attached, x, y)), expected, EPS)
        with torch.no_grad():
            model(x)  # a pass without gradients is none
        optimizer.step()
        assert distance(model[4].weight, copied) > 0.01
    assert attached.feedback.keys() == {"0.W", "2.W"}  # no projection where the widths agree


def test_a_stale_copy_goes_with_a_checkpoint():
    """A copy made anew at resume would be another run, by up to ``refresh`` steps of the head."""
    rule = fa.SharedOutputLocalLearning(refresh=3)
    model, batches = network(), [batch() for _ in range(5)]
    attached = fa.attach(model, rule)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for i, data in enumerate(batches):
        if i == 2:
            state = {name: t.clone() for name, t in model.state_dict().items()}, attached.state_dict()
        step(model, attached, *data)
        optimizer.step()
    resumed = network()
    resumed.load_state_dict(state[0])
    its = fa.attach(resumed, rule)
    its.load_state_dict(state[1])
    optimizer = torch.optim.SGD(resumed.parameters(), lr=0.5)
    for data in batches[2:]:
        step(resumed, its, *data)
        optimizer.step()
    assert_same(resumed.state_dict(), model.state_dict())
    assert_same(its.state_dict()["feedback"], attached.state_dict()["feedback"])


def test_a_block_of_another_width_reads_through_a_fixed_projection_that_keeps_the_length():
    """Without the 1/width its readouts would be larger by the root of the width than the head's own."""
    model = nn.Sequential(nn.Linear(7, 4000), nn.Tanh(), nn.Linear(4000, WIDTH), nn.Tanh(), nn.Linear(WIDTH, K))
    attached = fa.attach(model, "solo")
    assert attached.feedback.keys() == {"0.P", "0.W", "2.W"}
    z = F.rms_norm(torch.randn(500, 4000), (4000,)) @ attached.feedback["0.P"]
    assert z.square().mean() == pytest.approx(1, abs=0.05)


class Twice(nn.Module):
    """A block that is called twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.cell(torch.tanh(self.cell(x)))))


def test_a_pass_counts_once_however_often_it_calls_a_block():
    """A block that is called again would read a copy that is fresher than the user asked for."""
    model, (x, y) = Twice().double(), batch()
    x = torch.cat([x, x[:, :1]], 1)
    attached = fa.attach(model, "solo", example=x)
    for _ in range(2):
        step(model, attached, x, y)
    assert attached.state_dict()["feedback"]["cell.passes"] == 2


def refused(model: nn.Module, x: Tensor, y: Tensor, **settings) -> None:
    step(model, fa.attach(model, fa.SharedOutputLocalLearning(**settings)), x, y)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: fa.SharedOutputLocalLearning(refresh=0), "`refresh` to be 1 pass or more"),
        (lambda: fa.SharedOutputLocalLearning(loss="hinge"), "'mse'"),
        (
            lambda: fa.attach(
                nn.Sequential(nn.Linear(7, 8), nn.Tanh(), nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 3, 4)), "solo"
            ),
            "reads the weight of the head, but '3' is a Conv1d",
        ),
        (
            lambda: refused(
                nn.Sequential(nn.Linear(7, 8), nn.Linear(8, 8), nn.Unflatten(1, (2, 4)), nn.Linear(4, K)),
                torch.randn(N, 7),
                torch.randint(K, (N, 2)),
            ),
            "gives 4 outputs per row.*has 8 outputs",
        ),
        (
            lambda: fa.attach(nn.Sequential(nn.Linear(7, 8), nn.Linear(8, 1)), "solo"),
            r'SharedOutputLocalLearning\(loss="mse"\)',
        ),
    ],
    ids=["refresh", "loss", "head", "outputs", "one output"],
)
def test_what_has_no_shared_readout_is_refused(attempt, words):
    """Else it fails later, in the words of a matrix product."""
    with pytest.raises(ValueError, match=words):
        attempt()
