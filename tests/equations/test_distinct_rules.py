"""No two rules are the same: each trains to weights of its own. (A rule that is another one in secret would pass its tests.)"""

import itertools
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.cases import SEEDED
from tests.oracles import CONTROLS, ORACLES
from tests.problems import own

WIDTHS = (10, 12, 9, 5)

FIRST_STEP = [{"fa", "kp", "wm"}, {"dfa", "dkp"}, {"shallow", "sg", "sgprop"}]
"""Equal in the first step by theory. kp, wm and dkp begin with the B of fa and dfa, and it learns at the end of the step;
sg and sgprop begin with a prediction of zero, under which nothing below the head moves."""


def network(widths: tuple[int, ...] = WIDTHS) -> nn.Sequential:
    """The same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
        return nn.Sequential(*layers[:-1]).double()


def loss_of(output: Tensor, y: Tensor) -> Tensor:
    """With independent outputs, whose error sums to no constant, and of several sizes: a rule may drop small errors."""
    sizes = torch.linspace(1, 3, output.shape[1], dtype=output.dtype)
    return F.binary_cross_entropy_with_logits(output, F.one_hot(y, output.shape[1]).to(output), weight=sizes)


@cache
def hidden(rule: str, steps: int, seed: int | None = None, widths: tuple[int, ...] = WIDTHS) -> dict[str, Tensor]:
    """Weights below the head after plain SGD."""
    model, rng = network(widths), torch.Generator().manual_seed(1)
    attached = fa.attach(model, rule if seed is None else fa.RULES[rule](seed=seed, **ORACLES[rule].drawing))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.5)
    for _ in range(steps):
        x = torch.randn(8, widths[0], generator=rng, dtype=torch.float64)
        y = torch.randint(widths[-1], (8,), generator=rng)
        optimizer.zero_grad()
        attached.targets = y
        attached.loss(loss_of(model(x), y)).backward()
        optimizer.step()
    head = f"{len(model) - 1}."
    return {name: p.detach() for name, p in own(dict(model.named_parameters())).items() if not name.startswith(head)}


def apart(ours: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    """Whether every weight matrix has moved otherwise, by more than rounding."""
    return all((w - others[name]).norm() > 1e-8 * w.norm() for name, w in ours.items() if w.ndim > 1)


def same(ours: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all((w - others[name]).norm() <= 1e-12 * w.norm() for name, w in ours.items())


@pytest.mark.parametrize("rule", fa.RULES)
def test_every_other_rule_has_other_weights_after_three_steps(rule):
    """A rule that runs under two names would be compared with itself."""
    others = [other for other in fa.RULES if other != rule]
    assert [other for other in others if not apart(hidden(rule, 3), hidden(other, 3))] == []


@pytest.mark.parametrize("rule", fa.RULES)
def test_the_first_step_is_backpropagations_for_the_control_alone(rule):
    """The one test that a "DFA" which is backpropagation cannot pass."""
    begin = hidden("bp", 0)
    if rule in CONTROLS:
        plain, x_y = network(), torch.Generator().manual_seed(1)
        x = torch.randn(8, WIDTHS[0], generator=x_y, dtype=torch.float64)
        y = torch.randint(WIDTHS[-1], (8,), generator=x_y)
        loss_of(plain(x), y).backward()
        expected = {n: p.detach() - 0.5 * p.grad for n, p in plain.named_parameters() if n in begin}
        assert same(hidden(rule, 1), expected)
    else:
        assert apart(hidden(rule, 1), hidden("bp", 1))


@pytest.mark.parametrize(("rule", "other"), list(itertools.combinations([r for r in fa.RULES if r != "fa_sparse"], 2)))
def test_two_rules_share_their_first_step_where_theory_says_so(rule, other):
    """Learned feedback begins as the fixed one of its family; every other pair differs from the first step on."""
    if any({rule, other} <= group for group in FIRST_STEP):
        assert same(hidden(rule, 1), hidden(other, 1))
    else:
        assert not same(hidden(rule, 1), hidden(other, 1))


@pytest.mark.parametrize("rule", SEEDED)
def test_every_seed_of_the_feedback_moves_the_weights(rule):
    """Error bars over seeds that all draw the same B would be too small."""
    for one, two in itertools.combinations(range(3), 2):
        assert not same(hidden(rule, 3, one), hidden(rule, 3, two))


def test_below_one_hidden_layer_indirect_feedback_is_direct_feedback():
    """By their formulas: both hand the first layer B e, and there is no second."""
    assert same(hidden("ifa", 3, widths=(10, 12, 5)), hidden("dfa", 3, widths=(10, 12, 5)))
    assert apart(hidden("fa", 3, widths=(10, 12, 5)), hidden("dfa", 3, widths=(10, 12, 5)))
