"""What DDP sends and expects: no fixed feedback, and no gradient for what the loss does not use."""

import pytest
import torch

import lightning_fa as fa
from tests.distributed.launch import launch

pytestmark = pytest.mark.distributed

BUFFER = 10 * 4
"""Bytes of the one buffer of the model that has one."""


def test_fixed_feedback_is_not_broadcast_at_each_step(tmp_path):
    """DDP broadcasts every buffer in every forward: B is as large as the weights, and doubles the traffic."""
    fixed = [name for name, rule in fa.RULES.items() if not rule.learned]
    for results in launch("traffic", tmp_path, rules=fixed):
        assert results == {rule: [0, 2 * BUFFER] for rule in fixed}  # the counter sees what is sent


def test_feedback_that_is_drawn_after_wrapping_is_not_broadcast_either(tmp_path):
    """B behind a convolution is drawn in the first forward pass, when DDP has already listed the buffers."""
    for results in launch("lazy", tmp_path):
        assert results["redrawn"]  # else this was the test above once more
        assert results["sent"] == []


def test_a_layer_outside_the_loss_does_not_stop_find_unused_parameters(tmp_path):
    """A rule's own terms that DDP cannot see would leave its layers marked unused: never reduced, or an error."""
    first, second = launch("unused", tmp_path, rules=list(fa.RULES))
    for rule in fa.RULES:
        assert first[rule]["steps"] == 3
        for name in first[rule].keys() - {"steps"}:
            assert torch.equal(first[rule][name], second[rule][name]), (rule, name)
