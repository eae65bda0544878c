"""Complex weights, as of optical networks: gradients follow PyTorch's convention, dL/dRe + i dL/dIm."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.metrics.directions import cosines
from lightning_fa.ops.prealignment import pre_aligned
from tests.problems import read

N, K = 9, 3
COMPLEX = torch.complex128
DEFINED = ["bp", "fa", "kp", "dfa", "shallow"]


class Saturate(nn.Module):
    """A nonlinearity of the amplitude, which keeps the phase, as of a saturable absorber."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.tanh(z.abs()) / z.abs()


def network(dtype: torch.dtype = COMPLEX) -> nn.Sequential:
    layers = [nn.Linear(8, 7, dtype=dtype), Saturate(), nn.Linear(7, 6, dtype=dtype), Saturate()]
    return nn.Sequential(*layers, nn.Linear(6, K, dtype=dtype))


def distance(ours: Tensor, expected: Tensor) -> float:
    return ((ours - expected).norm() / expected.norm()).item()


def loss_of(out: Tensor, y: Tensor) -> Tensor:
    """The detectors see intensities."""
    return F.cross_entropy(out.abs().square(), y)


def case(rule: str) -> tuple[nn.Sequential, nn.Sequential, Tensor, Tensor, fa.Attached]:
    torch.manual_seed(3)
    net, x, y = network(), torch.randn(N, 8, dtype=COMPLEX), torch.randint(K, (N,))
    plain = copy.deepcopy(net)
    attached = fa.attach(net, rule, example=x[:2])
    with torch.no_grad():
        for b in attached.feedback.values():
            assert b.is_complex()
            b += 1j * torch.randn_like(b)  # as a measured transmission matrix
    attached.loss(loss_of(net(x), y)).backward()
    return net, plain, x, y, attached


def by_hand(plain: nn.Sequential, x: Tensor, y: Tensor, send) -> dict[str, Tensor]:
    """Gradients where ``send(index, error above, error at the output)`` is the error at the output of hidden layer ``index``."""
    h1 = plain[1](plain[0](x))
    h2 = plain[3](plain[2](h1.detach()))
    out = plain[4](h2.detach())
    pre2 = plain[2](h1.detach())
    (e,) = torch.autograd.grad(loss_of(out, y), out, retain_graph=True)
    loss_of(out, y).backward()
    d2 = send(1, e, e)
    (delta2,) = torch.autograd.grad(plain[3](pre2), pre2, d2)
    h2.backward(d2)
    h1.backward(send(0, delta2, e))
    return read(plain)


@pytest.mark.parametrize("autocast", [False, True])
def test_the_control_is_backpropagation(autocast):
    """Without a conjugate it was another rule, also at the head, and said nothing."""
    torch.manual_seed(3)
    net, x, y = network(torch.complex64), torch.randn(N, 8, dtype=torch.complex64), torch.randint(K, (N,))
    plain = copy.deepcopy(net)
    attached = fa.attach(net, "bp", example=x[:2])
    for model, joined in ((net, attached.loss), (plain, lambda loss: loss)):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = loss_of(model(x), y)
        joined(loss).backward()
    ours, theirs = read(net), read(plain)
    assert all(torch.equal(grad, theirs[name]) for name, grad in ours.items())


@pytest.mark.parametrize("rule", ["fa", "kp"])
def test_the_conjugate_transpose_of_b_carries_the_error(rule):
    net, plain, x, y, attached = case(rule)
    B = {name: b.detach() for name, b in attached.feedback.items()}
    theirs = by_hand(plain, x, y, lambda i, above, e: above @ B["42"[1 - i]].conj() if i else above @ B["2"].conj())
    for name, grad in theirs.items():
        assert distance(read(net)[name], grad) < 1e-12, name
    if rule == "kp":  # B receives the gradient of W
        for name in ("2", "4"):
            layer = net.get_submodule(name)
            assert torch.equal(attached.feedback[name].grad, layer.weight.grad)


def test_direct_feedback_is_b_times_e():
    net, plain, x, y, attached = case("dfa")
    B = attached.feedback
    theirs = by_hand(plain, x, y, lambda i, above, e: e @ B["02"[i]].T)
    for name, grad in read(net).items():
        assert distance(grad, theirs[name]) < 1e-12, name


def test_angles_are_those_of_real_and_imaginary_parts():
    u, v = torch.randn(4, 5, dtype=COMPLEX), torch.randn(4, 5, dtype=COMPLEX)
    apart = [torch.cat([t.real, t.imag], 1) for t in (u, v)]
    assert torch.allclose(cosines(u, v), F.cosine_similarity(*apart), atol=1e-12)


def test_pre_aligned_weights_send_what_the_rule_delivers():
    W, delta = torch.randn(3, 5, dtype=COMPLEX), torch.randn(20, 3, dtype=COMPLEX)
    assert distance(pre_aligned(delta @ W.conj(), delta), W / W.norm()) < 1e-12


@pytest.mark.parametrize("rule", fa.RULES)
def test_a_rule_is_defined_for_complex_weights_or_refuses_them(rule):
    """Signs, targets and similarities of complex numbers are not defined here, and a guess would be another rule."""
    assert fa.RULES[rule].complex_valued == (rule in DEFINED)
    if rule not in DEFINED:
        with pytest.raises(ValueError, match=r"not defined for complex weights, such as 0\.0\.weight"):
            fa.attach(nn.Sequential(network()), rule)
        fa.attach(nn.Sequential(network(), nn.Linear(2, 2), nn.Linear(2, 2)), rule, ungoverned=["0"], blocks=["1", "2"])


@pytest.mark.parametrize("rule", ["bp", "fa"])
def test_complex_weights_of_other_layers_are_refused(rule):
    """PyTorch computes a complex convolution from real ones, which the library's own operator does not."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, dtype=COMPLEX), nn.Flatten(), nn.Linear(8, K, dtype=COMPLEX))
    with pytest.raises(ValueError, match=r"of complex weights only those of nn\.Linear"):
        fa.attach(net, rule)
