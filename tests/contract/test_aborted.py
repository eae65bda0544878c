"""A forward pass that the user's own error ends half-way leaves nothing behind for the next one."""

import pytest
import torch
from torch import nn

import lightning_fa as fa
from tests import cases
from tests.cases import problem_of, rules_that
from tests.lightning_net import Net, batches, fit
from tests.oracles import ORACLES
from tests.problems import assert_same, gradients

every_rule = pytest.mark.parametrize("rule", fa.RULES)
CUT = [rule for rule, cls in fa.RULES.items() if not issubclass(cls, fa.TransportRule)]


class Trip(nn.Tanh):
    """An activation that raises, or returns what the next layer cannot take, while it is told to."""

    how = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "raise":
            raise ZeroDivisionError
        return super().forward(x)[:, : -1 if self.how == "short" else None]


ABORTS = {
    "in the first block": (lambda model, x: x[:, :-1], RuntimeError),
    "in a later block": (lambda model, x: setattr(model[3], "how", "short") or x, RuntimeError),
    "between blocks": (lambda model, x: setattr(model[3], "how", "raise") or x, ZeroDivisionError),
}


def prepared(rule):
    problem = problem_of(rule, "mlp")
    model = problem.model()
    model[3] = Trip()
    return problem, model, cases.attach(model, rule, problem)


def abort(where, model, attached, batch):
    spoil, error = ABORTS[where]
    attached.targets = batch[1]
    with pytest.raises(error):
        model(spoil(model, batch[0]))
    model[3].how = ""


def expected(rule, problem):
    _, model, attached = prepared(rule)
    return gradients(model, problem.batch(), attached)


@pytest.mark.parametrize("where", ABORTS)
@every_rule
def test_after_an_aborted_forward_pass_the_next_one_is_as_if_there_had_been_none(rule, where):
    """A stale term would say that the loss does not depend on some output, of which the user knows nothing."""
    problem, model, attached = prepared(rule)
    gradients(model, problem.batch(seed=2), attached)
    abort(where, model, attached, problem.batch(seed=3))
    assert_same(gradients(model, problem.batch(), attached), expected(rule, problem))


@pytest.mark.parametrize("where", ["in the first block", "in a later block"])
@every_rule
def test_the_same_where_it_was_the_first_one(rule, where):
    """A wrong shape is what a first try has, and blocks that are called twice are not the reason."""
    problem, model, attached = prepared(rule)
    abort(where, model, attached, problem.batch(seed=3))
    assert_same(gradients(model, problem.batch(), attached), expected(rule, problem))


@pytest.mark.parametrize("rule", [rule for rule in CUT if rule != "shallow"])
def test_where_the_library_cannot_know_it_the_error_says_so_once(rule):
    """Between blocks an error looks like a head that was never called, which the first pass has to rule out."""
    problem, model, attached = prepared(rule)
    abort("between blocks", model, attached, problem.batch(seed=3))
    with pytest.raises(RuntimeError, match="error ended the last pass between two blocks: then call the model again"):
        gradients(model, problem.batch(), attached)
    assert_same(gradients(model, problem.batch(), attached), expected(rule, problem))


@pytest.mark.parametrize("rule", [rule for rule in rules_that(joins=True) if rule in CUT])
def test_after_a_loss_that_raised_the_error_says_what_to_do(rule):
    """Two forward passes may belong to one loss, so that terms without one are not simply dropped."""
    problem, model, attached = prepared(rule)
    for forget in (False, True):
        x, attached.targets = problem.batch(seed=3)
        model(x)  # and then its loss raises
        if forget:
            attached.forget()
        else:
            with pytest.raises(RuntimeError, match=r"After an exception call .attached\.forget\(\)"):
                gradients(model, problem.batch(), attached)
        assert_same(gradients(model, problem.batch(), attached), expected(rule, problem))


class Skipping(Net):
    """Skips a batch in the way that Lightning offers, after the forward pass has shown that it is no good."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return None if batch_idx == 1 else loss


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
@pytest.mark.parametrize("rule", [rule for rule in fa.RULES if not ORACLES[rule].stochastic])
def test_a_training_step_that_skips_its_batch_leaves_nothing_to_the_next(rule):
    """Its forward pass was a whole one, and no loss will come."""
    few = batches()
    skipped = fit(Skipping(), rule, data=few)
    assert_same(skipped, fit(Net(), rule, data=[few[0], *few[2:]]))
