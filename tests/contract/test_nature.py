"""What a rule declares of itself, seen in what it does."""

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from tests.cases import attach, every_rule, oracle_of
from tests.problems import mlp

BATCH = torch.randn(4, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = torch.tensor([0, 1, 2, 3])


def network(rule: str) -> tuple[nn.Module, fa.Attached]:
    """The same at every call."""
    torch.manual_seed(0)
    model = mlp().double()
    return model, attach(model, rule)


def given(rule: str) -> tuple[nn.Module, fa.Attached]:
    """With targets where the rule reads them."""
    model, attached = network(rule)
    attached.targets = CLASSES if attached.rule.needs_targets else None
    return model, attached


def gradients(model: nn.Module, attached: fa.Attached, weights: Tensor, joined: bool = True) -> dict[str, Tensor]:
    """Of a loss whose e is ``weights``, in every parameter that has one."""
    model.zero_grad()
    loss = (model(BATCH) * weights).sum()
    (attached.loss(loss) if joined else loss).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def refusal(model: nn.Module, attached: fa.Attached, joined: bool) -> str:
    """What a step says where it is refused."""
    try:
        gradients(model, attached, errors(0), joined)
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""


def errors(seed: int) -> Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_rule
def test_a_rule_that_says_it_needs_targets_does(rule):
    """The strategies hand targets on by this word: a rule that needs them in secret fails in the first step of a run."""
    model, attached = network(rule)
    refused = "needs the targets" in refusal(model, attached, joined=True)
    assert refused == attached.rule.needs_targets == oracle_of(rule).targets


@every_rule
def test_a_rule_that_says_it_needs_the_loss_does(rule):
    """By this word the strategies join the loss, without which blocks do not learn."""
    model, attached = given(rule)
    refused = "needs the loss" in refusal(model, attached, joined=False)
    assert refused == attached.rule.needs_loss == oracle_of(rule).joins


@every_rule
def test_a_rule_that_says_it_learns_has_parameters(rule):
    """By this word optimizers are checked, and DDP is told which tensors are equal on all ranks."""
    model, attached = network(rule)
    found = any("_feedback" in name for name, _ in model.named_parameters())
    assert found == attached.rule.learned == (oracle_of(rule).lessons is not None)


@every_rule
def test_a_rule_that_says_it_draws_in_every_pass_does(rule):
    """Two passes on one batch differ by nothing else."""
    model, attached = given(rule)
    first = gradients(model, attached, errors(0))
    attached.targets = CLASSES if attached.rule.needs_targets else None
    second = gradients(model, attached, errors(0))
    changed = any(not torch.equal(g, second[name]) for name, g in first.items())
    assert changed == attached.rule.stochastic == oracle_of(rule).stochastic


@every_rule
def test_a_rule_that_says_it_is_linear_in_the_error_is(rule):
    """Accumulated batches and scaled losses are sums of errors."""
    found = []
    for e in (errors(0), errors(1), errors(0) + errors(1)):
        model, attached = given(rule)  # anew, so that what a rule draws is the same
        found.append({n: g for n, g in gradients(model, attached, e).items() if "_feedback" not in n})
    hidden = sorted(found[0])[:2]
    assert hidden == ["0.bias", "0.weight"] or attached.rule.hears == "nothing"
    sums = all(torch.allclose(found[0][n] + found[1][n], found[2][n], atol=1e-12) for n in found[0])
    assert sums == attached.rule.linear == oracle_of(rule).linear


@every_rule
def test_a_rule_that_says_it_begins_silent_does(rule):
    """`fa.check` excuses hidden layers that receive nothing by this word alone."""
    torch.manual_seed(0)
    model = mlp().double()
    attached = fa.attach(model, rule)
    attached.targets = CLASSES if attached.rule.needs_targets else None
    found = gradients(model, attached, errors(0))
    moves = [name for name in ("0.weight", "2.weight") if name in found and found[name].any()]
    frozen = not model[0].weight.requires_grad
    assert (not moves and not frozen) == attached.rule.silent == oracle_of(rule).silent


@pytest.mark.parametrize("family", [fa.TransportRule, fa.DirectRule, fa.LocalRule, fa.SyntheticRule])
def test_every_family_says_what_a_block_hears(family):
    """The wiring, the pipeline and `fa.check` decide by it."""
    assert family.hears in ("the layer above", "the output", "nothing", "the block above")
