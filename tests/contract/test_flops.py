"""Multiply-adds of a training step, counted by PyTorch: what a rule does not need it must not compute."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import lightning_fa as fa

WIDTHS, BATCH = (784, 1024, 1024, 1024, 1024, 10), 128


def flops(rule: str | None) -> int:
    layers = [m for i, o in pairwise(WIDTHS) for m in (nn.Linear(i, o), nn.Tanh())]
    net = nn.Sequential(*layers[:-1])
    attached = None if rule is None else fa.attach(net, rule)
    x, y = torch.randn(BATCH, WIDTHS[0]), torch.randint(10, (BATCH,))
    with FlopCounterMode(display=False) as counter:
        if attached is not None:
            attached.targets = y
        loss = nn.functional.cross_entropy(net(x), y)
        (loss if attached is None else attached.loss(loss)).backward()
    return counter.get_total_flops()


def by_hand() -> tuple[int, int]:
    """Backpropagation and direct feedback alignment, in multiply-adds per sample, times two operations and the batch.

    Forward and weight gradients cost sum(n m) each. Backprop adds sum(n m) without the first layer, whose input needs no
    error. DFA adds B^i e instead, 10 n_i per hidden layer.
    """
    pairs = list(pairwise(WIDTHS))
    both = 2 * sum(n * m for n, m in pairs)
    backprop = both + sum(n * m for n, m in pairs[1:])
    direct = both + sum(WIDTHS[-1] * n for n in WIDTHS[1:-1])
    return 2 * BATCH * backprop, 2 * BATCH * direct


def test_backprop_costs_what_the_hand_count_says():
    """The ratios below mean nothing if the counter misses an operator."""
    assert flops(None) == by_hand()[0]


def test_direct_feedback_alignment_costs_its_floor():
    """The known implementations compute every inter-layer error and throw it away: 1.00 of backprop in place of 0.716."""
    assert flops("dfa") == by_hand()[1]
    assert flops("dfa") <= 0.72 * flops(None)


def test_local_readouts_cost_no_more_than_their_two_products():
    """LAFS adds (B^i)^T h^i and B^i e^i per hidden layer, nothing that crosses a block."""
    extra = 2 * BATCH * sum(WIDTHS[-1] * n for n in WIDTHS[1:-1])
    assert flops("lafs") == by_hand()[1] + extra


@pytest.mark.parametrize("rule", ["bp", "fa"])
def test_transport_rules_cost_what_backprop_costs(rule):
    """A second forward or a discarded W^T product would be charged to the rule in every timing."""
    assert flops(rule) == by_hand()[0]
