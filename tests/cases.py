"""Rules x problems: the pairs that are under the contract, and each rule attached as its nature demands (``oracles.py``)."""

import zlib
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from tests.oracles import ORACLES, OTHERS, Oracle
from tests.problems import PROBLEMS, Gradients, Problem, own, positions


def problem_of(rule: str, name: str) -> Problem:
    """The problem, with values for targets where the rule needs outputs that are independent, or without LayerNorm."""
    problem = replace(PROBLEMS[name], values=ORACLES[rule].independent_outputs)
    return (
        replace(problem, build=partial(positions, nn.Identity))
        if ORACLES[rule].common and name == "positions"
        else problem
    )


def cases(rules: Iterable[str] = fa.RULES, problems: Iterable[str] = PROBLEMS) -> pytest.MarkDecorator:
    """Parametrises ``rule`` and ``problem``, without the pairs that the rule refuses, which have a test of their own."""
    names = list(problems)
    return these((rule, name) for rule in rules for name in names if name not in ORACLES[rule].refuses)


def these(pairs: Iterable[tuple[str, str]]) -> pytest.MarkDecorator:
    """Parametrises ``rule`` and ``problem`` with pairs of names."""
    given = [pytest.param(rule, problem_of(rule, name), id=f"{rule}-{name}") for rule, name in pairs]
    return pytest.mark.parametrize(("rule", "problem"), given)


def rules_that(**nature: Any) -> list[str]:
    """Names of the rules whose oracle says so."""
    return [r for r, oracle in ORACLES.items() if all(getattr(oracle, key) == value for key, value in nature.items())]


def mechanism(rule: str) -> tuple[type, bool, bool]:
    """What decides where feedback is kept: the family, whether it is learned, and whether weights are masked."""
    kind = fa.RULES[rule]
    families = (fa.TransportRule, fa.DirectRule, fa.LocalRule, fa.SyntheticRule)
    return next(f for f in families if issubclass(kind, f)), kind.learned, ORACLES[rule].changes_forward


MECHANISMS = list({mechanism(rule): rule for rule in reversed(OTHERS)}.values())
"""The first rule of each mechanism, for what depends on the mechanism and costs too much to ask of every rule."""

every_case = cases()
every_rule = pytest.mark.parametrize("rule", fa.RULES)
SEEDED = [rule for rule, cls in fa.RULES.items() if "seed" in {f.name for f in fields(cls)}]


def oracle_of(rule: str | fa.Rule) -> Oracle:
    return ORACLES[rule if isinstance(rule, str) else next(n for n, cls in fa.RULES.items() if type(rule) is cls)]


def attach(model: nn.Module, rule: str | fa.Rule, problem: Problem | None = None, **settings: Any) -> fa.Attached:
    """As a user attaches it, with an example where learned feedback depends on one.

    Predictors of a rule that begins silent are given values, for the contract to be about something.
    """
    if problem is not None and problem.maps and oracle_of(rule).sized_by_output:
        settings.setdefault("example", problem.batch(2, dtype=next(model.parameters()).dtype)[0])
    attached = fa.attach(model, rule, **settings)
    if oracle_of(rule).silent:
        speak(attached)
    return attached


def speak(attached: fa.Attached) -> None:
    """Give a value to all feedback that begins at zero, the same one at every call and in every precision."""
    with torch.no_grad():
        for name, b in attached.feedback.items():
            if not b.any():
                b.copy_(0.3 * torch.randn(b.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))))


def masks_of(attached: fa.Attached) -> dict[str, Tensor]:
    """Name of a weight -> which of its entries exist, under a rule that changes the forward pass."""
    held = attached.state_dict()["feedback"].items()
    return {name.removesuffix("mask") + "weight": mask for name, mask in held if name.endswith(".mask")}


def plain_of(problem: Problem, attached: fa.Attached) -> nn.Module:
    """The network that the rule trains, without it: the problem's own but for weights that the rule masks."""
    model, masks = problem.model(), masks_of(attached)
    assert bool(masks) == oracle_of(attached.rule).changes_forward
    with torch.no_grad():
        for name, mask in masks.items():
            assert 0 < mask.double().mean() < 1
            model.get_parameter(name).mul_(mask)
    return model


def masked(gradients: Gradients, attached: fa.Attached) -> Gradients:
    """The gradients of a network whose weights are masked."""
    masks = masks_of(attached)
    return {name: g * masks[name] if name in masks else g for name, g in own(gradients).items()}
