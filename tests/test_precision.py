"""Every rule in every precision of Lightning's: errors against float64, and steps that a scaler skips."""

import json

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision

import lightning_fa as fa
from benchmarks import precision
from tests.lightning_net import Net, batches, fit, loader, trainer, weights

every_rule = pytest.mark.parametrize("rule", fa.RULES)

FACTOR = {"32-true": 64, "bf16-mixed": 16, "16-mixed": 16, "bf16-true": 32}
"""How many roundings of its own precision a gradient may be off."""
EPS = {"32-true": 2**-24, "bf16-mixed": 2**-9, "16-mixed": 2**-11, "bf16-true": 2**-9}


@every_rule
@pytest.mark.parametrize("how", FACTOR)
def test_gradients_are_as_good_as_the_precision(rule, how):
    """Half precision may cost what it costs backprop, and no more: a projection or a target in half costs all of it."""
    exact = precision.gradients(rule, "64-true")
    ours = precision.error(precision.gradients(rule, how), exact)
    control = precision.error(precision.gradients("bp", how), precision.gradients("bp", "64-true"))
    toss_up = 0.2 if rule == "dfa_sign" and how != "32-true" else 0  # signs of errors that are zero but for rounding
    assert ours <= max(FACTOR[how] * EPS[how], 4 * control, toss_up)
    assert ours > 0 or rule == "shallow"  # it did run in that precision


@every_rule
def test_tiny_errors_survive_in_half_precision(rule):
    """With a loss of 1e-5 the errors are subnormal in fp16; the scaler lifts them, if nothing casts before it."""
    exact = precision.gradients(rule, "64-true", scale=1e-5)
    allowed = 0.3 if rule == "dfa_sign" else 0.1
    for how in ("16-mixed", "bf16-mixed"):
        assert precision.error(precision.gradients(rule, how, scale=1e-5), exact) < allowed, how


class Overflowing(Net):
    """Its second step overflows."""

    def training_step(self, batch, batch_idx):
        loss = F.mse_loss(self.net(batch[0]), F.one_hot(batch[1], 5).float())
        return loss * (float("inf") if batch_idx == 1 else 1.0)


@every_rule
def test_a_step_that_the_scaler_skips_leaves_everything_as_it_was(rule):
    """Feedback that learns from an overflowed step is infinite ever after, while the weights look sound."""
    seen = []

    class Watched(Overflowing):
        def on_train_batch_end(self, *_):
            state = self.trainer.strategy.attached.state_dict()["feedback"]
            own = {n: b for n, b in state.items() if not n.endswith(("steps", "stream"))}  # these count forward passes
            seen.append({**weights(self), **own})

    run = trainer(rule, plugins=[MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))])
    run.fit(Watched(), loader(batches(3)))
    first, second, third = seen
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(second[name], third[name]) for name in first)  # and then training goes on
    assert all(value.isfinite().all() for value in third.values())


@every_rule
def test_feedback_is_the_same_in_every_precision(rule):
    """Precision is not a seed: B drawn in another default dtype is another B."""
    drawn = []
    for how in ("64-true", "32-true", "bf16-true"):
        run = trainer(rule, precision=how, max_steps=1)
        run.fit(net := precision.Net(), loader([(torch.zeros(4, 20), torch.zeros(4, dtype=torch.int64))]))
        drawn.append(run.strategy.attached.state_dict()["feedback"])
        assert net.gradients or rule
    for other in drawn[1:]:
        if fa.RULES[rule].learned:
            continue
        for name, b in drawn[0].items():
            assert torch.allclose(b.double(), other[name].double(), rtol=2**-8, atol=1e-6), name


def test_the_table_of_errors_is_that_of_all_rules():
    """A table of last month's rules misleads whoever chooses a rule by it."""
    saved = json.loads((precision.RESULTS / "precision.json").read_text())["errors"]
    assert saved.keys() == fa.RULES.keys()
    assert precision.table(saved) in (precision.RESULTS / "precision.md").read_text()


def test_a_run_in_double_precision_is_one():
    """64-true is what our own oracles rest on."""
    module = Net()
    fit(module, "dfa", batches(1), precision="64-true")
    assert {w.dtype for w in module.state_dict().values()} == {torch.float64}
