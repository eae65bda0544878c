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
from tests.cases import attach, cases, every_case
from tests.problems import assert_close, assert_same, forward, gradients, read


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


@cases(problems=["mlp", "positions"])
def test_checkpointed_blocks_have_the_same_gradients(rule, problem):
    """Large networks are trained so; a recomputed block that records its tap again would shift every error by one."""
    net, reference = Checkpointed(problem.model()), problem.model()
    attached = attach(net, rule, blocks=[f"net.{block}" for block in problem.blocks])
    expected_attached = attach(reference, rule)
    # The names of the blocks differ, and with them the draws.
    held = {f"net.{name}": b for name, b in expected_attached.state_dict()["feedback"].items()}
    attached.load_state_dict({"config": attached.config(), "feedback": held})
    net.net.load_state_dict(reference.state_dict())
    for seed in range(2):
        net.recomputed = 0
        ours = gradients(net, problem.batch(seed=seed), attached)
        assert net.recomputed > len(net.net)  # forward passes were run again in backward
        expected = gradients(reference, problem.batch(seed=seed), expected_attached)
        assert_same({name.removeprefix("net."): g for name, g in ours.items()}, expected)


@every_case
def test_a_checkpoint_around_the_whole_network_has_the_same_gradients(rule, problem):
    """The usual one-line use; the head lies in the checkpoint, and the router with it."""
    model, batch = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    expected = gradients(model, batch, attached)
    model.load_state_dict(problem.model().state_dict())
    model.zero_grad()
    whole = lambda x: checkpoint(model, x, use_reentrant=False)  # noqa: E731
    forward(whole, batch, attached).backward()
    assert_close(read(model), expected, torch.finfo(torch.float32).eps)


@cases(problems=["mlp", "residual"])
def test_pytorchs_wrapper_around_blocks_keeps_the_rule(rule, problem):
    """FSDP users wrap modules with ``apply_activation_checkpointing`` after the rule is in."""
    model, batch = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    expected = gradients(model, batch, attached)
    model.load_state_dict(problem.model().state_dict())
    blocks = {model.get_submodule(block) for block in problem.blocks}
    apply_activation_checkpointing(model, checkpoint_wrapper, check_fn=lambda module: module in blocks)
    ours = gradients(model, batch, attached)
    assert any("_checkpoint_wrapped_module" in name for name in ours)
    ours = {name.replace("_checkpoint_wrapped_module.", ""): g for name, g in ours.items()}
    assert_close(ours, expected, torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_a_reentrant_checkpoint_is_an_error_that_says_what_to_do(rule):
    """It calls the block without gradients first, so that no rule sees the call."""
    layers = [nn.Linear(4, 4) for _ in range(3)]
    attached = fa.attach(nn.ModuleList(layers), rule, blocks=["0", "1", "2"])
    attached.targets = torch.tensor([0, 1])
    h = checkpoint(layers[1], layers[0](torch.randn(2, 4)), use_reentrant=True)
    with pytest.raises(RuntimeError, match=r"Block '2' was called where '1' was expected.*`use_reentrant=False`"):
        layers[2](h)
