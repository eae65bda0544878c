"""An activation in place after a governed layer: the layer's output must be a tensor of its own, and no view."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import assert_same

TRANSPORT = ("bp", "fa", "usf", "brsf", "frsf", "kp", "wm", "pbp", "fa_sparse")


class Net(nn.Module):
    """Two layers with an activation in place between them, as most published code has it."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 6, bias), nn.Linear(6, 3, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x), inplace=True)).mul_(2.0)


def gradients(net: nn.Module, x: Tensor, attached: fa.Attached | None = None, run=None) -> dict[str, Tensor]:
    net.zero_grad()
    leaf = x.clone().requires_grad_()
    loss = (net if run is None else run)(leaf * 1.5).square().sum()
    (loss if attached is None else attached.loss(loss)).backward()
    return {"x": leaf.grad, **{n: p.grad for n, p in net.named_parameters() if p.grad is not None}}


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 4, 5), (2, 3, 4, 5)], ids=lambda s: f"{len(s)}d")
@pytest.mark.parametrize("rule", TRANSPORT)
def test_an_activation_in_place_after_a_linear_layer_of_any_dimensions(rule, shape):
    """Every token-wise network with ``ReLU(inplace=True)`` stopped with an error of autograd."""
    torch.manual_seed(0)
    net, x = Net(), torch.randn(shape)
    plain = copy.deepcopy(net)
    attached = fa.attach(net, rule)
    plain.load_state_dict(net.state_dict())  # fa_sparse has set weights to zero
    expected, out = gradients(plain, x), plain(x)
    assert torch.equal(net(x), out)
    attached.forget()
    ours = gradients(net, x, attached)
    if rule == "bp":
        assert_same(ours, expected)
    assert torch.equal(ours["b.bias"], expected["b.bias"])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("turned", [True, False], ids=["turned", "contiguous"])
def test_the_control_stays_autograd_where_the_input_is_no_contiguous_tensor(bias, turned):
    """``F.linear`` takes another path through its kernels there."""
    net, x = Net(bias), torch.randn(5, 4, 5)
    x = x.transpose(0, 2) if turned else x
    expected = gradients(copy.deepcopy(net), x)
    fa.attach(net, "bp")
    assert_same(gradients(net, x), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's own
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 4, 5)], ids=lambda s: f"{len(s)}d")
def test_an_activation_in_place_compiles_to_the_same(shape):
    """The compiler sees views that eager code does not, and the other way round."""
    net, x = Net(), torch.randn(shape)
    attached = fa.attach(net, "fa")
    eager = gradients(net, x, attached)
    compiled = gradients(net, x, attached, torch.compile(net, fullgraph=True, backend="aot_eager"))
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value)
