"""A module set aside for a measurement comes back bit by bit."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics import CatMetric, MeanMetric

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from lightning_fa.undisturbed import undisturbed
from tests.callbacks.net import RULES, Net, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_undisturbed_restores_after_an_error_too():
    module = Net()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), undisturbed(module):  # noqa: PT012
        module(torch.randn(8, 10))
        module.calls, module.new = 5, torch.zeros(1)
        module.seen.append(1)
        module.eval()
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), state)
    assert (module.calls, module.seen, hasattr(module, "new"), module.net.training) == (0, [], False, True)
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert "log" not in module.__dict__


def test_a_buffer_without_values_is_let_be():
    """Values on the meta device cannot be compared."""
    module = nn.BatchNorm1d(3, device="meta")
    with undisturbed(module):
        module(torch.zeros(2, 3, device="meta"))
    assert module.running_mean.is_meta


@pytest.mark.parametrize("kind", [MeanMetric, CatMetric])
def test_a_metric_that_a_pass_updates_comes_back(kind):
    """An accuracy that counts the measured batch twice is no accuracy; metrics add to their states in place."""
    module = nn.Module()
    module.metric = kind()
    module.metric.update(torch.tensor([1.0, 2.0]))
    with undisturbed(module):
        module.metric.update(torch.tensor([100.0]))
    module.metric.update(torch.tensor([6.0]))
    assert torch.as_tensor(module.metric.compute()).mean().item() == 3


def test_what_an_extra_pass_logs_is_not_in_the_log(tmp_path):
    """A monitored run would report the sums of twice as many batches."""

    class Counting(Net):
        def training_step(self, batch, batch_idx):
            self.log("count", 1.0, on_step=False, on_epoch=True, reduce_fx="sum")
            return super().training_step(batch, batch_idx)

    torch.manual_seed(0)
    _, trainer = fit(tmp_path, [AlignmentMonitor(1)], module=Counting(), steps=6)
    assert trainer.callback_metrics["count"] == 6


@pytest.mark.parametrize("rule", ["brsf", "wm"])
def test_a_monitor_draws_nothing_that_the_rule_would_draw(rule, tmp_path):
    """Every measurement would move the stream of a rule that draws in every step: the run looked at is another run."""
    watched, _ = fit(tmp_path / "a", [AlignmentMonitor(1)], rule=rule, steps=4)
    alone, _ = fit(tmp_path / "b", rule=rule, steps=4)
    assert all(torch.equal(w, alone.state_dict()[name]) for name, w in watched.state_dict().items())


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("shallow", "fa_sparse")])
def test_a_suspended_rule_is_backprop_and_comes_back_bitwise(rule):
    """Of two twins one is suspended in between: both must go on alike, streams and learned feedback included."""
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = torch.randn(7, 5), torch.randint(3, (7,))

    def gradients(net, attached=None):
        net.zero_grad()
        if attached:
            attached.targets = y
        loss = F.cross_entropy(net(x), y)
        (attached.loss(loss) if attached else loss).backward()
        return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    def same(ours, theirs):
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    models = [copy.deepcopy(start), copy.deepcopy(start)]
    attached = [fa.attach(model, rule) for model in models]
    assert same(gradients(models[0], attached[0]), gradients(models[1], attached[1]))
    with attached[0].suspended():
        assert same(gradients(models[0]), gradients(start))
        assert type(models[0][2]) is nn.Linear
    assert same(gradients(models[0], attached[0]), gradients(models[1], attached[1]))
    attached[0].detach()
    assert type(models[0][2]) is nn.Linear
