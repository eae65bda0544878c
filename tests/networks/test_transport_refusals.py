"""Layers whose weights transport rules cannot follow: an error that says what to do, such as to register the layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.networks.test_transport_pairs import X, gradients, set_to
from tests.odd_layers import Raw
from tests.problems import assert_same, distance


class Tower(nn.Module):
    """Uses the weights of its children in a functional call."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(F.linear(x, self.inner.weight, self.inner.bias)), self.outer.weight, self.outer.bias)


class Known(Tower):
    """The same, and registered."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


fa.register_layer(Known, ["inner.weight", "outer.weight"])


def test_a_functional_use_of_a_childs_weight_is_an_error_that_names_it():
    """The table said that B carried the error, and W did."""
    net = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), Tower()).double()
    fa.attach(net, "fa")
    with pytest.raises(RuntimeError, match=r"true weight of 2.inner, 2.outer carries an error.*register_layer"):
        net(X)
    with pytest.raises(RuntimeError, match=r"2.inner, 2.outer"):
        net(X)  # an error caught once is no permission


def test_the_rehearsal_finds_it_before_training():
    """An error after an hour of loading data costs that hour."""
    net = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), Tower()).double()
    with pytest.raises(RuntimeError, match=r"2.inner, 2.outer"):
        fa.attach(net, "fa", example=X)
    fa.attach(net, "bp", example=X)


def test_a_registered_layer_uses_the_weights_of_its_children_as_pairs():
    """Attention with windows, as in Swin, is written like this."""
    plain = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    net = nn.Sequential(plain[0], nn.Tanh(), Known().double())
    net[2].load_state_dict(
        {f"{k}.{w}": getattr(plain[i], w) for k, i in (("inner", 2), ("outer", 4)) for w in ("weight", "bias")}
    )
    a, b = fa.attach(plain, "fa"), None
    expected, B = gradients(plain), {n: v.clone() for n, v in a.feedback.items()}
    a.detach()
    b = fa.attach(net, "fa")
    set_to(b, {"0": B["0"], "2.inner": B["2"], "2.outer": B["4"]})
    ours = gradients(net)
    for mine, theirs in (
        ("x", "x"),
        ("0.weight", "0.weight"),
        ("2.inner.weight", "2.weight"),
        ("2.outer.bias", "4.bias"),
    ):
        assert distance(ours[mine], expected[theirs]) < 1e-14


def test_a_registration_is_checked():
    """A string is a list of letters, and an instance registers nothing."""
    with pytest.raises(TypeError, match="list of names"):
        fa.register_layer(Tower, "inner.weight")
    with pytest.raises(TypeError, match="class of modules"):
        fa.register_layer(Tower(), ["inner.weight"])


REFUSED = {
    "exp": lambda x, w: torch.cdist(x, w),
    "division": lambda x, w: x @ w.t() + (w / x.mean()).sum(),
    "dropout": lambda x, w: x @ F.dropout(w, 0.5).t(),
    "in place": lambda x, w: x @ w.t().clone().mul_(2.0),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_not_known_to_be_linear_is_an_error_that_names_layer_and_operator(how):
    """A distance to W has no transpose to exchange: a rule that lets it pass is backprop there."""
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Raw(6, 3, REFUSED[how])).double()
    fa.attach(net, "fa")
    with pytest.raises(RuntimeError, match=r"cannot govern 2 \(Raw\).*ungoverned"):
        net(X)
    torch.manual_seed(0)
    free = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Raw(6, 3, REFUSED[how])).double()
    attached = fa.attach(free, "fa", ungoverned="2")
    assert list(attached.feedback) == ["0"]
    free(X).sum().backward()


def test_a_function_of_ones_own_that_takes_the_weight_is_an_error():
    """Its backward pass holds the true W, which no pair can exchange."""

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w.t()

        @staticmethod
        def backward(ctx, delta):
            x, w = ctx.saved_tensors
            return delta @ w, delta.t() @ x

    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Raw(6, 3, Fused.apply)).double()
    fa.attach(net, "fa")
    with pytest.raises(RuntimeError, match=r"2\.kernel|2 \(Raw\)"):
        net(X)


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm], ids=["weight", "spectral"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_a_weight_that_a_hook_normalises_is_an_error_and_none_for_the_control(norm):
    """It is no parameter: what has a B would not be what computes."""
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), norm(nn.Linear(4, 3))).double()
    with pytest.raises(ValueError, match=r"2 \(Linear.*remove weight_norm or spectral_norm"):
        fa.attach(net, "fa")
    net.eval()
    expected = gradients(net)
    fa.attach(net, "bp")
    assert_same(gradients(net), expected)
