"""Activation checkpointing runs a block's forward again inside backward: the cut must be made there, and nothing else."""

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from torch.utils.checkpoint import checkpoint

import lightning_fa as fa
from tests.problems import PROBLEMS, assert_close, assert_same, forward, gradients, read

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
every_rule = pytest.mark.parametrize("rule", fa.RULES)


class Checkpointed(nn.Module):
    """Every child of a Sequential in an activation checkpoint of its own, the head too."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net
        self.recomputed = 0

    def run(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        self.recomputed += 1
        return layer(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.net:
            x = checkpoint(self.run, layer, x, use_reentrant=False)
        return x


@pytest.mark.parametrize("name", ["mlp", "positions"])
@every_rule
def test_checkpointed_blocks_have_the_same_gradients(rule, name):
    """Large networks are trained so; a recomputed block that records its tap again would shift every error by one."""
    problem = PROBLEMS[name]
    net, reference = Checkpointed(problem.model()), problem.model()
    attached = fa.attach(net, rule, blocks=[f"net.{block}" for block in problem.blocks])
    expected_attached = fa.attach(reference, rule)
    for ours, theirs in zip(attached.feedback.values(), expected_attached.feedback.values()):
        ours.data.copy_(theirs)  # the names of the blocks differ, and with them the draws
    for seed in range(2):
        net.recomputed = 0
        ours = gradients(net, problem.batch(seed=seed), attached)
        assert net.recomputed > len(net.net)  # forward passes were run again in backward
        expected = gradients(reference, problem.batch(seed=seed), expected_attached)
        assert_same({name.removeprefix("net."): g for name, g in ours.items()}, expected)


@every_problem
@every_rule
def test_a_checkpoint_around_the_whole_network_has_the_same_gradients(rule, problem):
    """The usual one-line use; the head lies in the checkpoint, and the router with it."""
    model, batch = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    expected = gradients(model, batch, attached)
    model.load_state_dict(problem.model().state_dict())
    model.zero_grad()
    whole = lambda x: checkpoint(model, x, use_reentrant=False)  # noqa: E731
    forward(whole, batch, attached).backward()
    assert_close(read(model), expected, torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("name", ["mlp", "residual"])
@every_rule
def test_pytorchs_wrapper_around_blocks_keeps_the_rule(rule, name):
    """FSDP users wrap modules with ``apply_activation_checkpointing`` after the rule is in."""
    problem = PROBLEMS[name]
    model, batch = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    expected = gradients(model, batch, attached)
    model.load_state_dict(problem.model().state_dict())
    blocks = {model.get_submodule(block) for block in problem.blocks}
    apply_activation_checkpointing(model, checkpoint_wrapper, check_fn=lambda module: module in blocks)
    ours = gradients(model, batch, attached)
    assert any("_checkpoint_wrapped_module" in name for name in ours)
    ours = {name.replace("_checkpoint_wrapped_module.", ""): g for name, g in ours.items()}
    assert_close(ours, expected, torch.finfo(torch.float32).eps)
