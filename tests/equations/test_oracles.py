"""Gradients and weights against equations written down by hand (``oracles.py``), and the cases with a known answer."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import lightning_fa as fa
from tests.cases import attach
from tests.oracles import ORACLES, Array, Feedback, Step, linear_aligned_feedback, train
from tests.problems import assert_close, criterion, distance, gradients, read

EPS = torch.finfo(torch.float64).eps


def tanh_net(*widths: int, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    layers = [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), activation())]
    return nn.Sequential(*layers[:-1]).double()


def batch(size: int = 6, inputs: int = 7, outputs: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(size, inputs, dtype=torch.float64), torch.randint(outputs, (size,))


def linears(model: nn.Module) -> list[nn.Linear]:
    return [m for m in model.modules() if isinstance(m, nn.Linear)]


def arrays_of(model: nn.Module, attached: fa.Attached) -> tuple[list[Array], list[Array], Feedback]:
    """W, b and all that the rule holds by letter, in the order of depth."""
    layers, feedback = linears(model), {}
    for name, b in attached.state_dict()["feedback"].items():
        feedback.setdefault(name.partition(".")[2], []).append(b.numpy().copy())
    weights, biases = ([t.detach().numpy().copy() for t in ts] for ts in zip(*[(m.weight, m.bias) for m in layers]))
    return weights, biases, feedback


def test_every_registered_rule_has_an_oracle():
    """A rule without equations of its own in the tests is a rule nobody has checked."""
    assert ORACLES.keys() == fa.RULES.keys()


def assert_arrays(ours: list[Array], expected: list[Array]) -> None:
    assert len(ours) == len(expected)
    for array, other in zip(ours, expected):
        scale = max(1.0, np.abs(other).max(initial=0.0))  # rounding grows with W, which is 80 under `pbp` at this rate
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize(
    "widths", [(7, 9, 8, 6, 4), (5, 5, 5, 5, 5)], ids=["unequal", "equal"]
)  # equal: all B would fit
@pytest.mark.parametrize("rule", ORACLES)
def test_weights_after_three_sgd_steps_equal_the_equations(rule, widths):
    """A wrong sign, transpose, layer, mean or derivative makes every result published under the rule's name wrong."""
    model, oracle = tanh_net(*widths), ORACLES[rule]
    batches = [batch(inputs=widths[0], outputs=widths[-1]) for _ in range(3)]
    attached = attach(model, rule)
    W, b, B = arrays_of(model, attached)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for x, y in batches:
        optimizer.zero_grad()
        attached.targets = y
        labels = nn.functional.one_hot(y, widths[-1]).double() if oracle.independent_outputs else y
        attached.loss(criterion(model(x), labels)).backward()
        optimizer.step()
    expected = train(rule, W, b, B, [(x.numpy(), y.numpy()) for x, y in batches], lr=0.5)
    ours = arrays_of(model, attached)
    assert_arrays(ours[0] + ours[1], expected[0] + expected[1])
    assert ours[2].keys() == expected[2].keys() == B.keys()
    for letter in B.keys() - {"stream"}:
        assert_arrays(ours[2][letter], expected[2][letter])
    for stream in ours[2].get("stream", []):
        assert stream[-1] == len(batches)
    # What learns moved, by far more than the tolerance.
    moved = np.abs(expected[0][0] - W[0]).max()
    assert moved == 0 if oracle.no_hidden_gradient else moved > 1e-3
    for letter in [key for key, arrays in B.items() if arrays[0].dtype.kind == "f"]:
        moved = min(np.abs(new - old).max() for new, old in zip(expected[2][letter], B[letter]))
        assert moved > 1e-5 * (1 - (oracle.decay or 0)) if oracle.lessons or letter == oracle.copies else moved == 0, (
            letter
        )


def test_feedback_alignment_with_the_weights_as_feedback_is_backprop():
    """If B = W does not give backprop, the rule differs from it in more than the matrix that it exchanges."""
    model, data = tanh_net(7, 9, 8, 4), batch()
    expected = gradients(model, data)
    attached = fa.attach(model, fa.FeedbackAlignment(seed=1))
    assert distance(gradients(model, data, attached)["0.weight"], expected["0.weight"]) > 0.1
    for name, b in attached.feedback.items():
        b.copy_(model.get_submodule(name).weight.detach())
    assert_close(gradients(model, data, attached), expected, EPS)


def test_direct_feedback_alignment_with_the_product_of_weights_is_backprop_in_a_linear_net():
    """In a linear net the error at h^l is (W^k ... W^{l+1})^T e exactly: anything else delivers to the wrong layer."""
    model, data = tanh_net(7, 9, 8, 6, 4, activation=nn.Identity), batch()
    expected = gradients(model, data)
    attached = fa.attach(model, fa.DirectFeedbackAlignment(seed=1))
    assert distance(gradients(model, data, attached)["0.weight"], expected["0.weight"]) > 0.1
    for i, b in enumerate(attached.feedback.values()):
        product = torch.eye(4, dtype=torch.float64)
        for layer in reversed(linears(model)[i + 1 :]):
            product = product @ layer.weight.detach()
        b.copy_(product.T)
    assert_close(gradients(model, data, attached), expected, EPS)


@pytest.mark.parametrize(("loss", "link"), [("mse", lambda a: a), ("binary_cross_entropy", torch.sigmoid)])
def test_other_readout_losses_have_their_own_error(loss, link):
    """e^i is link(B^T h) - y up to the mean's denominator: with the softmax error a regression net learns classes."""
    model, (x, _) = tanh_net(7, 9, 4), batch()
    y = torch.rand(6, 4, dtype=torch.float64)
    attached = fa.attach(model, fa.LinearAlignedFeedback(loss=loss))
    attached.targets = y
    attached.loss(((model(x) - y) ** 2).mean()).backward()
    B = attached.feedback["0"]
    h = torch.tanh(x @ model[0].weight.T + model[0].bias).detach()
    e = (link(h @ B) - y) / y.numel() * (2 if loss == "mse" else 1)
    delta = (e @ B.T) * (1 - h**2)
    assert_close(read(model[0]), {"weight": delta.T @ x, "bias": delta.sum(0)}, EPS)


def test_lafs_is_the_gradient_of_its_readout_loss_by_finite_differences():
    """Eq. 9 claims to descend the loss of the readout; were that untrue, eqs. 6 and 9 would be two different rules."""
    rng = np.random.default_rng(0)
    x, W, B = rng.standard_normal((5, 7)), rng.standard_normal((6, 7)), rng.standard_normal((6, 4))
    y = np.eye(4)[rng.integers(4, size=5)]

    def loss(w):
        a = np.tanh(x @ w.T) @ B
        return (np.log(np.exp(a).sum(1)) - (a * y).sum(1)).mean()

    h = np.tanh(x @ W.T)
    step_ = Step([W, np.zeros((4, 6))], {"": [B]}, [x, h, h[:, :4]], np.zeros((5, 4)), y)
    ours = linear_aligned_feedback(step_)[0].T @ x
    step = np.zeros_like(W)
    for index in np.ndindex(W.shape):
        step[index] = 1e-6
        slope = (loss(W + step) - loss(W - step)) / 2e-6
        step[index] = 0
        assert abs(slope - ours[index]) < 1e-8
