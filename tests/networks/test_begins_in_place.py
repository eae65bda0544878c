"""A block that begins with an operation in place changes the output of the block below, which some rules read later."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import Gradients, assert_same, read

READS = [name for name, rule in fa.RULES.items() if issubclass(rule, fa.LocalRule)] + ["dkp", "ebd"]
OTHERS = ["dfa", "dfa_sign", "dfa_sparse", "dfa_lowrank", "sg", "sgprop"]


class Activated(nn.Module):
    """An activation and a layer, in this order, as in Xception and in networks found by architecture search."""

    def __init__(self, inputs: int, outputs: int, inplace: bool) -> None:
        super().__init__()
        self.layer, self.inplace = nn.Linear(inputs, outputs), inplace

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.relu(x, self.inplace))


def trained(rule: str, inplace: bool, compiles: bool = False) -> Gradients:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), Activated(8, 8, inplace), nn.Linear(8, 3))
    x, y = torch.randn(5, 6), torch.randint(3, (5,))
    attached = fa.attach(net, rule, blocks=["0", "1", "2"], example=x)
    call = torch.compile(net, backend="aot_eager", fullgraph=True) if compiles else net
    for _ in range(2):
        net.zero_grad()
        attached.targets = y
        attached.loss(F.cross_entropy(call(x), y)).backward()
    return read(net)


@pytest.mark.parametrize("rule", READS)
def test_a_rule_that_reads_the_output_later_says_what_to_do(rule):
    """LAFS trained the first block on the classification of another block's activation, and from the second step on not."""
    with pytest.raises(RuntimeError, match=r"block '0' was changed in place after it entered the next block.*`nn.ReLU"):
        trained(rule, inplace=True)


@pytest.mark.parametrize("rule", OTHERS)
def test_a_rule_that_does_not_read_it_trains_alike(rule):
    assert_same(trained(rule, inplace=True), trained(rule, inplace=False))


@pytest.mark.parametrize("rule", ["dfa", "dkp", "lafs", "solo"])
def test_compiled_code_reads_what_the_block_returned(rule):
    torch._dynamo.reset()
    ours = trained(rule, inplace=True, compiles=True)
    torch._dynamo.reset()
    for name, g in trained(rule, inplace=False, compiles=True).items():
        torch.testing.assert_close(ours[name], g)
