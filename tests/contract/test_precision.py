"""Every rule in every precision of Lightning's: errors against float64, and steps that a scaler skips."""

import functools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision

import lightning_fa as fa
from benchmarks import precision
from tests.cases import rules_that
from tests.lightning_net import Net, batches, fit, loader, trainer, weights
from tests.oracles import ORACLES, Step

every_rule = pytest.mark.parametrize("rule", fa.RULES)

FACTOR = {"32-true": 64, "bf16-mixed": 16, "16-mixed": 16, "bf16-true": 32}
"""How many roundings of its own precision a gradient may be off."""
EPS = {"32-true": 2**-24, "bf16-mixed": 2**-9, "16-mixed": 2**-11, "bf16-true": 2**-9}

JUMPS = rules_that(jumps=True)
"""In half precision some errors that are zero but for rounding have the other sign. With respect to the e that is there,
these rules are as good as any."""


@functools.cache
def exact(rule, scale=1.0):
    """In float64."""
    return precision.gradients(rule, "64-true", scale)


def expected(rule, how, net, scale=1.0):
    """In float64; of a rule that jumps by its equations, from the e that the network's own precision has given it."""
    if rule not in JUMPS:
        return exact(rule, scale)
    double, trainer = precision.step(rule, "64-true", scale)
    x, y = precision.batch()
    torch.manual_seed(0)
    layers = precision.Net().double().net[::2]
    W, h = [layer.weight.detach().numpy() for layer in layers], [x.double().numpy()]
    for layer in layers[:-1]:
        h.append(torch.tanh(layer(torch.from_numpy(h[-1]))).detach().numpy())
    B = [b.numpy() for b in trainer.strategy.attached.feedback.values()]
    assert [b.dtype for b in B] == [np.float64] * 2
    delta = ORACLES[rule].deltas(Step(W, {"": B}, [*h, h[-1]], net.error.numpy(), F.one_hot(y, 10).numpy()))
    found = dict(double.gradients)  # the head's, which does not jump
    for i in (0, 1):
        found[f"net.{2 * i}.weight"] = torch.from_numpy(delta[i].T @ h[i])
        found[f"net.{2 * i}.bias"] = torch.from_numpy(delta[i].sum(0))
    if how == "64-true":  # the equations are the rule's
        assert precision.error(double.gradients, found) <= 64 * 2**-53
    return found


@every_rule
@pytest.mark.parametrize("how", FACTOR)
def test_gradients_are_as_good_as_the_precision(rule, how):
    """Half precision may cost what it costs backprop, and no more: a projection or a target in half costs all of it."""
    net, _ = precision.step(rule, how)
    ours = precision.error(net.gradients, expected(rule, how, net))
    control = precision.error(precision.gradients("bp", how), exact("bp"))
    assert ours <= max(FACTOR[how] * EPS[how], 4 * control)
    assert precision.error(net.gradients, exact(rule)) > 0  # it did run in that precision


@pytest.mark.parametrize("rule", JUMPS)
def test_only_errors_within_rounding_change_their_sign(rule):
    """What the comparison above leaves out: e itself, whose signs may differ where its rounding is as large as it is."""
    double, _ = precision.step(rule, "64-true")
    expected(rule, "64-true", double)
    flips = {}
    for how in FACTOR:
        e = precision.step(rule, how)[0].error
        e = e / 65536 if how == "16-mixed" else e
        rounding = FACTOR[how] * EPS[how] * double.error.abs().max()
        flipped = e.sign() != double.error.sign()
        assert ((e - double.error).abs() <= rounding).all(), how
        assert (double.error.abs()[flipped] <= rounding).all(), how
        flips[how] = flipped.sum().item()
    assert flips["32-true"] == 0
    assert flips["bf16-true"]  # else there was nothing to leave out


@every_rule
@pytest.mark.parametrize("how", ["16-mixed", "bf16-mixed"])
def test_tiny_errors_survive_in_half_precision(rule, how):
    """With a loss of 1e-5 the errors are subnormal in fp16; the scaler lifts them, if nothing casts before it."""
    net, _ = precision.step(rule, how, scale=1e-5)
    ours = precision.error(net.gradients, expected(rule, how, net, scale=1e-5))
    assert ours <= FACTOR[how] * EPS[how], ours


class Overflowing(Net):
    """Its second step overflows."""

    def training_step(self, batch, batch_idx):
        loss = F.mse_loss(self.net(batch[0]), F.one_hot(batch[1], 5).float())
        return loss * (float("inf") if batch_idx == 1 else 1.0)


WARMING = {f"{rule}_warming": fa.RULES[rule](warm_up=2) for rule in ("sg", "sgprop")}


@pytest.mark.parametrize("rule", [*fa.RULES, *WARMING])
def test_a_step_that_the_scaler_skips_leaves_everything_as_it_was(rule):
    """Feedback that learns from an overflowed step is infinite ever after, while the weights look sound.

    Not what counts forward passes, as documented: a skipped step has had one, whose noise, warm-up or copy of W is used up.
    """
    seen, counted = [], []

    class Watched(Overflowing):
        def on_train_batch_end(self, *_):
            held = self.trainer.strategy.attached.state_dict()["feedback"]
            kept = {n: b for n, b in held.items() if b.is_floating_point() and not n.endswith(".W")}
            seen.append({**weights(self), **{f"feedback {n}": b for n, b in kept.items()}})
            ends = (".steps", ".stream", ".passes")
            counted.append([b.flatten()[-1].item() for n, b in held.items() if n.endswith(ends)])

    strategy = fa.FeedbackStrategy(WARMING.get(rule, rule))
    run = trainer(strategy, plugins=[MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))])
    run.fit(Watched(), loader(batches(3)))
    first, second, third = seen
    assert first.keys() == second.keys() == third.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    moved = {name for name in first if not torch.equal(second[name], third[name])}  # then training goes on
    assert moved & weights(Net()).keys()
    assert any(name.startswith("feedback ") for name in moved) == strategy.rule.learned
    assert all(value.isfinite().all() for value in third.values())
    assert counted == [[passes] * len(counted[0]) for passes in (1, 2, 3)]
    assert bool(counted[0]) == (rule in {"brsf", "wm", "solo", *WARMING})


@every_rule
def test_feedback_is_the_same_in_every_precision(rule):
    """Precision is not a seed: B drawn in another default dtype is another B."""
    drawn = []

    class Started(precision.Net):
        def on_train_start(self):
            drawn.append(self.trainer.strategy.attached.state_dict()["feedback"])

    for how in ("64-true", "32-true", "bf16-true"):
        trainer(rule, precision=how, max_steps=1).fit(Started(), loader([precision.batch()]))
    for other, eps in zip(drawn[1:], (2**-24, 2**-9)):
        assert other.keys() == drawn[0].keys()
        for name, b in drawn[0].items():
            if b.is_floating_point():
                assert torch.allclose(other[name].double(), b.double(), rtol=2 * eps, atol=0), name
            else:
                assert torch.equal(other[name], b), name


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
