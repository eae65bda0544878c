"""Learned feedback that no optimizer holds is named in the first step, and in Lightning before it."""

import gc

import pytest
import torch
from lightning.fabric import Fabric
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

import lightning_fa as fa
from tests.lightning_net import Net, OwnRule, fit
from tests.problems import PROBLEMS

PROBLEM = PROBLEMS["mlp"]
LEARNED = [name for name, rule in fa.RULES.items() if rule.learned]
learned = pytest.mark.parametrize("rule", LEARNED)


def attached_to(model, rule):
    return fa.attach(model, rule, example=PROBLEM.batch(8, seed=0)[0])


def step(model, attached, optimizer, wrapped=None):
    x, y = PROBLEM.batch(8, seed=0)
    attached.targets = y
    optimizer.zero_grad()
    output = (wrapped or model)(x)
    loss = (output - nn.functional.one_hot(y, PROBLEM.outputs)).square().mean()
    attached.loss(loss).backward()
    optimizer.step()


@learned
def test_an_optimizer_built_before_the_rule_is_refused_in_the_first_step(rule):
    """Under sg nothing but the head would train, for as long as the run takes, without a word."""
    model = PROBLEM.model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    attached = attached_to(model, rule)
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(RuntimeError, match=r"learned feedback 0\._feedback.* is in no optimizer") as error:
        step(model, attached, optimizer)
    missing = {name for name, _ in model.named_parameters() if "_feedback" in name}
    assert all(name in str(error.value) for name in missing)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@learned
def test_an_optimizer_built_after_the_rule_steps(rule):
    """A false alarm would end a run that is right."""
    model = PROBLEM.model()
    attached = attached_to(model, rule)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        step(model, attached, optimizer)


def test_the_handle_need_not_be_kept():
    """A rule without a loss of its own is attached and forgotten: the check must not be forgotten with it."""
    model = PROBLEM.model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    fa.attach(model, "kp")
    gc.collect()
    model(PROBLEM.batch(8, seed=0)[0]).sum().backward()
    with pytest.raises(RuntimeError, match="in no optimizer"):
        optimizer.step()


def test_feedback_in_an_optimizer_of_its_own_is_no_error():
    """B may learn at another rate, and more seldom."""
    model = PROBLEM.model()
    plain = list(model.parameters())
    attached = attached_to(model, "kp")
    later = torch.optim.SGD(list(attached.feedback.values()), 0.01)
    optimizer = torch.optim.SGD(plain, 0.1)
    for _ in range(3):
        step(model, attached, optimizer)
    assert len(later.param_groups) == 1


def test_another_models_optimizer_is_no_error():
    """The other network of a GAN steps first."""
    other, model = PROBLEM.model(), PROBLEM.model()
    attached_to(model, "kp")
    optimizer = torch.optim.SGD(other.parameters(), 0.1)
    other(PROBLEM.batch(8, seed=0)[0]).sum().backward()
    optimizer.step()


def test_the_feedback_of_layers_that_nothing_trains_is_no_error():
    """Only the head is fine-tuned; or the user holds B fixed."""
    model = PROBLEM.model()
    attached = attached_to(model, "kp")
    head = list(model.children())[-1]
    step(model, attached, torch.optim.SGD([p for n, p in head.named_parameters()], 0.1))
    model = PROBLEM.model()
    attached = attached_to(model, "kp")
    for b in attached.feedback.values():
        b.requires_grad_(False)
    step(model, attached, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1))


def test_a_rule_that_is_taken_out_is_not_asked_for():
    """The error would name feedback that is not there."""
    model = PROBLEM.model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    attached_to(model, "kp").detach()
    model(PROBLEM.batch(8, seed=0)[0]).sum().backward()
    optimizer.step()


def test_fabric_is_refused_in_the_first_step():
    """Fabric wraps the optimizer."""
    fabric = Fabric(accelerator="cpu", devices=1)
    model = PROBLEM.model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    attached = attached_to(model, "kp")
    wrapped, optimizer = fabric.setup(model, optimizer)
    with pytest.raises(RuntimeError, match="in no optimizer"):
        step(model, attached, optimizer, wrapped)


class Early:
    """Its optimizer is older than the rule."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.early = [torch.optim.SGD(self.parameters(), 0.1)]

    def configure_optimizers(self):
        return self.early


class EarlyNet(Early, Net):
    pass


class EarlyOwn(Early, OwnRule):
    pass


@learned
@pytest.mark.parametrize("mixin", [False, True], ids=["strategy", "mixin"])
def test_the_trainer_refuses_it_before_the_first_batch(rule, mixin):
    """Training time would be spent before the error."""
    module = EarlyOwn(rule) if mixin else EarlyNet()
    with pytest.raises(MisconfigurationException, match=r"net\.0\._feedback.* in no optimizer"):
        fit(module, "auto" if mixin else rule)
    assert module.losses == []
