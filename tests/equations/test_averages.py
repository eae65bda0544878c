"""Feedback that is a running average: the rule's own rate moves it, whatever optimizer holds it."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import lightning_fa as fa
from lightning_fa.wiring.stores import averages
from tests.lightning_net import Net, batches, fit
from tests.problems import assert_close, assert_same

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, 0.5, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, 0.1),
    "two groups": lambda p: torch.optim.Adam([{"params": [next(p)], "lr": 0.2}, {"params": list(p)}], 0.1),
}
EPS = torch.finfo(torch.float64).eps


def network() -> nn.Sequential:
    """The same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def batch(seed: int, n: int = 4) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=rng, dtype=torch.float64), torch.randint(3, (n,), generator=rng)


@torch.no_grad()
def correlations(net: nn.Sequential, x: Tensor, y: Tensor) -> list[Tensor]:
    """Of every hidden output and the error, by hand."""
    h1 = torch.tanh(x @ net[0].weight.T + net[0].bias)
    h2 = torch.tanh(h1 @ net[2].weight.T + net[2].bias)
    e = ((h2 @ net[4].weight.T + net[4].bias).softmax(1) - nn.functional.one_hot(y, 3)) / len(x)
    return [h1.T @ e, h2.T @ e]


def loss_of(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(net(x), y)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_average_is_the_papers_under_every_optimizer(name):
    """Under AdamW at the network's rate the correlation of one batch would be all that R holds."""
    net = network()
    attached = fa.attach(net, fa.ErrorBroadcastDecorrelation(forgetting=0.8))
    expected = [R.detach().clone() for R in attached.feedback.values()]
    optimizer = OPTIMIZERS[name](net.parameters())
    for seed in range(3):
        x, y = batch(seed)
        expected = [0.8 * R + 0.2 * C for R, C in zip(expected, correlations(net, x, y))]
        optimizer.zero_grad()
        loss_of(net, x, y).backward()
        optimizer.step()
    for R, wanted in zip(attached.feedback.values(), expected):
        torch.testing.assert_close(R.detach(), wanted, rtol=0, atol=1e-14)


def test_a_forgetting_factor_of_one_is_direct_feedback_alignment():
    """What R adds to DFA is the average, and nothing else."""
    found = []
    for rule in (fa.ErrorBroadcastDecorrelation(forgetting=1.0), fa.DirectFeedbackAlignment(init="xavier")):
        net = network()
        fa.attach(net, rule)
        optimizer = torch.optim.AdamW(net.parameters(), 0.1)
        for seed in range(3):
            optimizer.zero_grad()
            loss_of(net, *batch(seed)).backward()
            optimizer.step()
        found.append({name: p.detach() for name, p in net.named_parameters() if "_feedback" not in name})
    assert_same(*found)


def test_the_first_average_is_a_multiple_of_the_feedback_of_dfa():
    """The leaderboard says so: under AdamW, which divides a factor out, their rows are nearly one experiment."""
    R = fa.attach(network(), "ebd").feedback
    B = fa.attach(network(), "dfa").feedback
    for name, first in R.items():
        width, outputs = first.shape
        torch.testing.assert_close(first / B[name], torch.full_like(first, (6 * width / (width + outputs)) ** 0.5))


def test_accumulated_batches_are_one_step():
    """Averaged once a batch, R would forget faster with smaller batches."""
    found = []
    for parts in (1, 2):
        net = network()
        attached = fa.attach(net, fa.ErrorBroadcastDecorrelation(forgetting=0.8))
        optimizer = torch.optim.SGD(net.parameters(), 0.5)
        x, y = batch(0, 8)
        for xs, ys in zip(x.chunk(parts), y.chunk(parts)):
            (loss_of(net, xs, ys) / parts).backward()
        optimizer.step()
        found.append(dict(attached.feedback))
    assert_close(*found, EPS)


def test_a_step_without_gradients_or_for_others_moves_nothing():
    """The discriminator's optimizer steps while the generator rests."""
    net, other = network(), network()
    attached = fa.attach(net, fa.ErrorBroadcastDecorrelation(forgetting=0.8))
    before = {name: R.detach().clone() for name, R in attached.feedback.items()}
    own, others = (torch.optim.AdamW(each.parameters(), 0.1) for each in (net, other))
    loss_of(net, *batch(0)).backward()
    loss_of(other, *batch(0)).backward()
    others.step()
    net.zero_grad()
    own.step()
    assert_same(dict(attached.feedback), before)


def test_a_step_that_a_grad_scaler_skips_moves_nothing():
    """An average that has met an infinity stays there."""
    net = network().float()
    attached = fa.attach(net, fa.ErrorBroadcastDecorrelation(forgetting=0.8))
    before = {name: R.detach().clone() for name, R in attached.feedback.items()}
    optimizer = torch.optim.SGD(net.parameters(), 0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    x, y = batch(0)
    scaler.scale(loss_of(net, x.float(), y) * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert_same(dict(attached.feedback), before)
    optimizer.zero_grad()
    correlation = correlations(net, x.float(), y)
    scaler.scale(loss_of(net, x.float(), y)).backward()
    scaler.step(optimizer)
    for R, was, C in zip(attached.feedback.values(), before.values(), correlation):
        torch.testing.assert_close(R.detach(), 0.8 * was + 0.2 * C)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["copy", "pickle"])
def test_a_copys_feedback_is_averaged_as_well(duplicate):
    """A copy that an optimizer trains as any parameter is another rule."""
    attached = fa.attach(network(), fa.ErrorBroadcastDecorrelation(forgetting=0.8))
    twin = duplicate(attached)
    found = []
    for each in (attached, twin):
        optimizer = torch.optim.AdamW(each.model.parameters(), 0.1)
        loss_of(each.model, *batch(0)).backward()
        optimizer.step()
        found.append(dict(each.feedback))
    assert_same(*found)


def test_a_rule_that_is_loaded_in_another_process_is_averaged_as_well(monkeypatch):
    """Nothing has been attached there, so nothing but the loaded rule itself can see to it."""
    saved = pickle.dumps(fa.attach(network(), fa.ErrorBroadcastDecorrelation(forgetting=0.8)))
    for handle in averages._HANDLES:
        handle.remove()
    monkeypatch.setattr(averages, "_HANDLES", [])
    loaded = pickle.loads(saved)
    before = [R.detach().clone() for R in loaded.feedback.values()]
    correlation = correlations(loaded.model, *batch(0))
    loss_of(loaded.model, *batch(0)).backward()
    torch.optim.AdamW(loaded.model.parameters(), 0.1).step()
    for R, was, C in zip(loaded.feedback.values(), before, correlation):
        torch.testing.assert_close(R.detach(), 0.8 * was + 0.2 * C, rtol=0, atol=1e-14)
    for handle in averages._HANDLES:  # others may have stores that are tracked
        handle.remove()
    monkeypatch.undo()
    averages._HANDLES.clear()
    averages.track(loaded._wiring.store)


def test_a_compiled_step_averages():
    """A compiler that looks past the hooks would let the optimizer move R."""
    found = []
    for compiled in (False, True):
        net = network()
        attached = fa.attach(net, fa.ErrorBroadcastDecorrelation(forgetting=0.8))
        optimizer = torch.optim.SGD(net.parameters(), 0.5)
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for seed in range(2):
            optimizer.zero_grad()
            loss_of(net, *batch(seed)).backward()
            step()
        found.append(dict(attached.feedback))
    assert_same(*found)


class Adam(Net):
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.1)


def test_the_trainer_whose_optimizer_runs_the_step_averages():
    """Lightning computes the gradients inside `optimizer.step`: a hook before the step sees those of the batch before."""
    rule = fa.ErrorBroadcastDecorrelation(forgetting=0.5)
    module, plain = Adam(), Adam()
    plain.load_state_dict(module.state_dict())
    strategy = fa.FeedbackStrategy(rule)
    fit(module, strategy)
    attached = fa.attach(plain, rule)
    start = {name: R.detach().clone() for name, R in attached.feedback.items()}
    optimizer = plain.configure_optimizers()
    for data in batches():
        optimizer.zero_grad()
        plain.loss(*data).backward()
        optimizer.step()
    found = {name: R.detach() for name, R in attached.feedback.items()}
    assert all((found[name] - R).norm() > 0.1 * R.norm() for name, R in start.items())
    assert_close({name: R.detach() for name, R in strategy.attached.feedback.items()}, found, 1e-6)


def test_hooks_of_others_run_beside_ours():
    """A hook that takes itself out of the list ends the loop over it: `OrderedDict mutated during iteration`."""
    steps = []
    net = network()
    fa.attach(net, "dkp")
    handle = register_optimizer_step_pre_hook(lambda *_: steps.append(1))
    try:
        optimizer = torch.optim.SGD(net.parameters(), 0.5)
        for seed in range(2):
            loss_of(net, *batch(seed)).backward()
            optimizer.step()
    finally:
        handle.remove()
    assert steps == [1, 1]


def test_what_is_added_to_the_first_feedback_is_minus_what_the_head_has_learned():
    """Why the rule has no teacher but R[0]: R[T] = lambda^T R[0] - (1 - lambda)/rate (W[T] - W[0])^T + O((1 - lambda)^2).

    R[T] - R[0] itself also holds what R[0] has lost, (lambda^T - 1) R[0], which is of the same order.
    """
    rate, little, steps = 0.5, 1e-7, 5
    net = network()
    attached = fa.attach(net, fa.ErrorBroadcastDecorrelation(forgetting=1 - little))
    start, first = net[4].weight.detach().clone(), attached.feedback["2"].detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(net, *batch(0)).backward()
        optimizer.step()
    learned = (net[4].weight - start).detach()
    added = attached.feedback["2"].detach() - (1 - little) ** steps * first
    assert learned.norm() > 0.01 * start.norm()
    torch.testing.assert_close(added / little, -learned.T / rate, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_a_factor_that_is_none_is_refused(decay):
    """Above one, R grows without bound."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        fa.ErrorBroadcastDecorrelation(forgetting=decay)
