"""Oracle: autograd, for layers whose forward is their own: the control leaves them alone, other transport rules run them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

import lightning_fa as fa
from tests.cases import rules_that


class WithActivation(nn.Linear):
    def forward(self, x):
        return F.relu(super().forward(x))


class Standardised(nn.Conv1d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, (weight - weight.mean()) / weight.std(), bias)


class Product(nn.Module):
    """What GPT-2 and graph networks have in place of a Linear: a weight of their own."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(6, 6))

    def forward(self, x):
        return x @ self.W


def patched():
    layer = nn.Linear(6, 6)
    layer.forward = lambda x: F.linear(2 * x, layer.weight, layer.bias)
    return layer


def pruned():
    return prune.l1_unstructured(nn.Linear(6, 6), "weight", 0.5)


def convolved():
    return nn.Sequential(nn.Unflatten(1, (2, 3)), Standardised(2, 2, 3, padding=1), nn.Flatten())


LAYERS = {
    "activation": lambda: WithActivation(6, 6),
    "standardised": convolved,
    "patched": patched,
    "pruned": pruned,
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
    "product": Product,
}
TRANSPORT = [
    r for r, cls in fa.RULES.items() if issubclass(cls, fa.TransportRule) and r not in rules_that(control=True)
]


def network(kind):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), LAYERS[kind](), nn.Tanh(), nn.Linear(6, 3))


def gradients(net, attached=None):
    torch.manual_seed(2)
    loss = F.cross_entropy(net(torch.randn(5, 6)), torch.tensor([0, 1, 2, 0, 1]))
    (loss if attached is None else attached.loss(loss)).backward()
    return loss.detach(), {name: p.grad for name, p in net.named_parameters()}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_control_is_autograd_whatever_the_forward_of_a_layer_is(kind):
    """With PyTorch's forward in its place, training and validation were two different networks, off by 9.86."""
    expected_loss, expected = gradients(network(kind))
    net = network(kind)
    loss, found = gradients(net, fa.attach(net, "bp"))
    assert torch.equal(loss, expected_loss)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("rule", TRANSPORT)
@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "weight_norm"])
def test_another_transport_rule_runs_the_forward_that_the_layer_has(kind, rule):
    """Replaced silently, the network that trains is not the network that the user wrote."""
    net = network(kind)
    attached = fa.attach(net, rule)
    expected, _ = gradients(_plain(net, kind))
    loss, found = gradients(net, attached)
    assert torch.equal(loss, expected)
    assert all(g is not None for g in found.values())


def _plain(net, kind):
    # With the weights that the rule begins from: fa_sparse has set some to zero.
    plain = network(kind)
    plain.load_state_dict(net.state_dict())
    return plain


@pytest.mark.parametrize("rule", TRANSPORT)
def test_another_transport_rule_refuses_a_weight_that_it_cannot_present(rule):
    """A parametrised weight is no parameter of the layer: what has a B would not be what computes."""
    with pytest.raises(ValueError, match=r"2\.parametrizations.*remove the parametrisation"):
        fa.attach(network("weight_norm"), rule)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_with_a_forward_of_its_own_can_be_left_to_backpropagation(kind):
    """The error names `ungoverned`; what it says must work, and the forward pass stay bitwise the same."""
    expected_loss, _ = gradients(network(kind))
    net = network(kind)
    loss, _ = gradients(net, fa.attach(net, "fa", ungoverned="2"))
    assert torch.equal(loss, expected_loss)


@pytest.mark.parametrize("rule", ["bp", *TRANSPORT])
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_an_activation_in_place_may_follow_a_linear_on_any_number_of_dimensions(rule, dims):
    """One random network in sixteen ended with `Output 0 of _Linear is a view and is being modified inplace`."""
    x = torch.randn(2, 3, 4, 6)[(0,) * (4 - dims)].clone()

    def run(inplace, attach):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace), nn.Linear(5, 2))
        attached = fa.attach(net, rule) if attach else None
        loss = net(x).square().sum()
        (attached.loss(loss) if attached else loss).backward()
        return {
            name: p.grad for name, p in net.named_parameters() if not name.rpartition(".")[2].startswith("_feedback")
        }

    ours, other = run(True, True), run(False, True)
    assert all(torch.equal(ours[name], other[name]) for name in ours)
    if rule == "bp":
        plain = run(True, False)
        assert all(torch.equal(ours[name], plain[name]) for name in plain)
