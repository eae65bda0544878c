"""Direct rules against their equations, and what each of their options means."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.ops import pre_aligned
from tests.problems import assert_close, assert_same, distance, read

EPS = torch.finfo(torch.float64).eps
N, K = 6, 4


def network(*widths: int) -> nn.Sequential:
    layers = [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1]).double()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(N, 7, dtype=torch.float64), torch.randint(K, (N,))


def signals(
    model: nn.Sequential, attached: fa.Attached, x: Tensor, y: Tensor, c: float = 1
) -> tuple[list[Tensor], Tensor]:
    """What each hidden h receives, and e."""
    taps, h = [], x
    attached.targets = y
    for module in model:
        h = module(h)
        if isinstance(module, nn.Tanh):
            h.retain_grad()
            taps.append(h)
    h.retain_grad()
    loss = F.cross_entropy(h, y) if not y.is_floating_point() else F.mse_loss(h, y)
    (c * attached.loss(loss)).backward()
    return [tap.grad for tap in taps], h.grad


@pytest.mark.parametrize("scale", [1.0, 65536.0, 2.0**-20])
def test_sign_of_the_error_is_projected_whatever_stands_before_the_loss(scale):
    """sign(c e) forgets c: a GradScaler would make the hidden layers' step 65536 times too small."""
    model, (x, y) = network(7, 9, 8, K), batch()
    attached = fa.attach(model, "dfa_sign")
    ours, e = signals(model, attached, x, y, scale)
    for d, B in zip(ours, attached.feedback.values()):
        assert distance(d, scale * torch.sign(e) @ B.T / N) <= 8 * EPS


def test_sparse_feedback_listens_to_the_given_number_of_outputs():
    """A mask that drops whole units, or none, is another rule; and the error's expected length must stay."""
    B = fa.SparseDirectFeedbackAlignment(connections=3).initial("a", 20000, 10)
    assert torch.equal((B != 0).sum(1), torch.full((20000,), 3))
    assert (B != 0).sum(0).float().std() / (B != 0).sum(0).float().mean() < 0.03
    dense = fa.DirectFeedbackAlignment().initial("a", 20000, 10)
    assert B.norm() / dense.norm() == pytest.approx(1, abs=0.02)


def test_low_rank_feedback_has_that_rank_and_the_usual_size():
    """The point of the rule is the width of its error channel."""
    B = fa.LowRankDirectFeedbackAlignment(rank=3, seed=2).initial("a", 400, 200).double()
    assert torch.linalg.matrix_rank(B, rtol=1e-5) == 3
    sizes = [fa.LowRankDirectFeedbackAlignment(rank=3, seed=s).initial("a", 400, 200).norm() for s in range(20)]
    assert torch.stack(sizes).mean() / fa.DirectFeedbackAlignment().initial("a", 400, 200).norm() == pytest.approx(
        1, abs=0.1
    )


@pytest.mark.parametrize("rule", ["dfa", "dfa_sparse", "dfa_lowrank", "dkp"])
def test_linear_rules_deliver_their_matrix_times_the_error(rule):
    """B instead of its transpose, another block's B, or e of the mean twice over: all of them still learn something."""
    model, (x, y) = network(7, 9, 8, K), batch()
    attached = fa.attach(model, rule)
    ours, e = signals(model, attached, x, y)
    assert [tuple(b.shape) for b in attached.feedback.values()] == [(9, K), (8, K)]
    for d, B in zip(ours, attached.feedback.values()):
        assert distance(d, e @ B.detach().T) <= 8 * EPS


def test_a_shared_matrix_is_sliced_and_rescaled():
    """Launay: one M, of which layer l uses the first n_l columns times sqrt(d_max / n_l); their norm is then about 1."""
    rule = fa.DirectFeedbackAlignment(shared=True, init="normalised")
    wide, narrow = rule.initial("a", 700, 10), rule.initial("b", 100, 10)
    assert distance(narrow, wide[:100] * 7**0.5) < 1e-6
    assert wide.norm() == pytest.approx(1, abs=0.05)
    assert narrow.norm() == pytest.approx(1, abs=0.1)
    M = torch.randn(50, 10)
    own = fa.DirectFeedbackAlignment(shared=True, init=M).initial("a", 20, 10)
    assert distance(own, M[:20] * (50 / 20) ** 0.5) < 1e-6
    raw = fa.DirectFeedbackAlignment(shared=True, init="gaussian")
    assert torch.equal(raw.initial("a", 100, 10), raw.initial("b", 700, 10)[:100])


def test_a_sum_over_the_batch_concerns_hidden_blocks_only():
    """Launay's hidden layers have a learning rate n times the head's; with it everywhere, or nowhere, nothing matches."""
    model, (x, y) = network(7, 9, 8, K), batch()
    summed, e = signals(model, fa.attach(model, fa.DirectFeedbackAlignment(reduction="sum")), x, y)
    B = [fa.DirectFeedbackAlignment().initial(name, width, K).double() for name, width in (("0", 9), ("2", 8))]
    for d, b in zip(summed, B):
        assert distance(d, N * e @ b.T) <= 8 * EPS
    assert e.norm() < 1  # the head still has the mean


@pytest.mark.parametrize("rule", [fa.DirectFeedbackAlignment(reduction="sum"), fa.SignDirectFeedbackAlignment()])
def test_a_row_without_an_error_is_a_row(rule):
    """A margin that is kept has no error, and its loss is a mean over all rows: a zero in e does not tell an ignored row."""
    out, y = (
        torch.tensor([[3.0, 0, 0, 0], [0, 0, 0, 0], [0, 9, 0, 0]]).double().requires_grad_(),
        torch.tensor([0, 1, 1]),
    )
    mean = torch.autograd.grad(F.multi_margin_loss(out, y), out)[0]
    total = torch.autograd.grad(F.multi_margin_loss(out, y, reduction="sum"), out)[0]
    assert mean.any(1).tolist() == [False, True, False]
    B = rule.initial("0", 9, K).double()
    sent = total if isinstance(rule, fa.DirectFeedbackAlignment) else total.sign() / 3
    assert distance(rule.deliver(mean, B), sent @ B.T) <= 8 * EPS


@pytest.mark.parametrize("counted", [2, 4, N])
def test_a_sum_over_the_batch_undoes_a_mean_over_all_rows(counted):
    """A mean over the rows that count is undone by their number, and e does not tell it: the sum is to be divided by n."""
    out, y = torch.randn(N, K, dtype=torch.float64, requires_grad=True), torch.randint(K, (N,))
    y[counted:] = -100
    rule, B = fa.DirectFeedbackAlignment(reduction="sum"), torch.randn(9, K, dtype=torch.float64)
    mean, total = (torch.autograd.grad(F.cross_entropy(out, y, reduction=r), out)[0] for r in ("mean", "sum"))
    assert distance(rule.deliver(total / N, B), total @ B.T) <= 8 * EPS
    assert distance(rule.deliver(mean, B), N / counted * total @ B.T) <= 8 * EPS


def test_spatially_shared_feedback_is_constant_over_space():
    """With ``spatial="shared"`` B has a row per channel; the dense default has one per unit."""
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Conv2d(5, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 4 * 4, K)
    )
    x, y = torch.randn(N, 3, 8, 8), torch.randint(K, (N,))
    attached = fa.attach(model, fa.DirectFeedbackAlignment(spatial="shared"))
    h = model[1](model[0](x))
    h.retain_grad()
    out = model[2:](h)
    out.retain_grad()
    F.cross_entropy(out, y).backward()
    assert tuple(attached.feedback["0"].shape) == (5, K)
    expected = (out.grad @ attached.feedback["0"].T)[:, :, None, None].expand(h.shape)
    assert distance(h.grad, expected) < 1e-6
    attached.detach()
    dense = fa.attach(model, "dfa")
    model(x)
    assert tuple(dense.feedback["0"].shape) == (5 * 6 * 6, K)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_direct_kolen_pollack_converges_to_the_head(momentum):
    """d(B)/dt = h e^T = (dL/dW)^T at the last hidden block, so that weight decay alone decides about B - W^T."""
    model, decay, lr = network(7, 9, 8, K), 0.1, 0.2
    attached = fa.attach(model, "dkp")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=decay, momentum=momentum)
    B, W = attached.feedback["2"], model[4].weight
    gap, speed = (B - W.T).detach().clone(), torch.zeros_like(B)
    start = B.detach().clone()
    for _ in range(5):
        optimizer.zero_grad()
        signals(model, attached, *batch())
        optimizer.step()
        speed = momentum * speed + decay * gap
        gap = gap - lr * speed
        assert distance((B - W.T).detach(), gap) <= 64 * EPS
    assert distance(B.detach(), start) > 0.01


def test_direct_kolen_pollack_learns_below_the_last_block_from_h_and_e():
    """Every B^l has the lesson h^l e^T of its own block, the mean over the batch being in e."""
    model, (x, y) = network(7, 9, 8, K), batch()
    attached = fa.attach(model, "dkp")
    h = torch.tanh(F.linear(x, model[0].weight, model[0].bias)).detach()
    _, e = signals(model, attached, x, y)
    assert distance(attached.feedback["0"].grad, h.T @ e) <= 8 * EPS


def test_kickback_broadcasts_the_sum_of_the_errors():
    """One global scalar per sample, the same for every unit."""
    model, (x, _) = network(7, 9, 8, K), batch()
    ours, e = signals(model, fa.attach(model, "kickback"), x, torch.randn(N, K, dtype=torch.float64))
    for d in ours:
        assert distance(d, e.sum(1, keepdim=True).expand(d.shape)) <= 8 * EPS


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_kickback_explains_why_softmax_cannot_teach_it(dtype, scale):
    """With cross-entropy its signal is exactly zero, and the network would train its head alone without a word."""
    model = network(7, 9, K).to(dtype)
    attached = fa.attach(model, "kickback")
    x, y = torch.randn(N, 7, dtype=dtype), torch.randint(K, (N,))
    loss = scale * attached.loss(F.cross_entropy(model(x), y))
    with pytest.raises(RuntimeError, match="sums to zero, as under softmax with cross-entropy"):
        loss.backward()


def test_kickback_takes_losses_whose_error_has_a_sum():
    """The check must not stop regression, a batch of one, a single output or a perfect fit."""
    for outputs, rows in ((K, N), (K, 1), (1, N)):
        model = network(7, 9, outputs)
        fa.attach(model, "kickback")
        F.mse_loss(model(torch.randn(rows, 7).double()), torch.randn(rows, outputs).double()).backward()
    out = model(torch.randn(N, 7).double())
    F.mse_loss(out, out.detach()).backward()


def test_last_layer_only_leaves_hidden_weights_bitwise_alone():
    """Random features must stay as drawn: weight decay or momentum on a zero gradient would shrink them."""
    model, (x, y) = network(7, 9, 8, K), batch()
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    attached = fa.attach(model, "shallow")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert_same(
        {n: p.detach() for n, p in model.named_parameters() if n[0] != "4"},
        {n: p for n, p in start.items() if n[0] != "4"},
    )
    assert distance(model[4].weight.detach(), start["4.weight"]) > 0.1
    attached.detach()
    assert all(p.requires_grad for p in model.parameters())


def test_last_layer_only_trains_the_head_as_backprop_does():
    """The baseline's head must be the same head."""
    model, (x, y) = network(7, 9, 8, K), batch()
    F.cross_entropy(model(x), y).backward()
    expected = read(model[4])
    model.zero_grad(set_to_none=True)
    fa.attach(model, "shallow")
    F.cross_entropy(model(x), y).backward()
    assert_same(read(model[4]), expected)
    assert not read(model[:4])


@pytest.mark.parametrize("inplace", [False, True])
def test_indirect_feedback_travels_forward_through_the_weights(inplace):
    """delta^{l+1} = (W^{l+1} delta^l) f'(a^{l+1}): W instead of its transpose, and delta instead of d."""
    layers = [nn.Linear(7, 9), nn.ReLU(inplace), nn.Linear(9, 8), nn.ReLU(inplace), nn.Linear(8, 6), nn.ReLU(inplace)]
    model, (x, y) = nn.Sequential(*layers, nn.Linear(6, K)).double(), batch()
    attached = fa.attach(model, "ifa")
    F.cross_entropy(model(x), y).backward()
    W = [model[i].weight.detach() for i in (0, 2, 4, 6)]
    b = [model[i].bias.detach() for i in (0, 2, 4, 6)]
    h, slopes = [x], []
    for w, v in zip(W[:-1], b):
        a = h[-1] @ w.T + v
        h.append(a.relu())
        slopes.append((a > 0).double())
    e = (torch.softmax(h[-1] @ W[-1].T + b[-1], 1) - F.one_hot(y, K)) / N
    delta = [(e @ attached.feedback["0"].T) * slopes[0]]
    for w, slope in zip(W[1:-1], slopes[1:]):
        delta.append((delta[-1] @ w.T) * slope)
    for i, d in enumerate([*delta, e]):
        assert_close(read(model[2 * i]), {"weight": d.T @ h[i], "bias": d.sum(0)}, EPS)


def test_indirect_feedback_refuses_what_it_cannot_carry():
    """Blocks without one W, and pooling, have no ``W delta``: an error must say so before anything is trained."""
    gru = nn.Sequential(nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 9)), nn.Linear(9, K))
    with pytest.raises(ValueError, match=r"one Linear or convolution, and these are not: 0 \(Sequential\)"):
        fa.attach(gru, "ifa", blocks=["0", "1"])
    assert not any(type(m).__dict__.get("_feedback_origin") for m in gru.modules())
    pooled = nn.Sequential(nn.Conv2d(3, 5, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(45, K))
    fa.attach(pooled, "ifa")
    with pytest.raises(ValueError, match="the size changes, as in pooling"):
        pooled(torch.randn(2, 3, 8, 8))


def test_feedback_that_was_trained_with_does_not_change_with_the_size_of_the_input():
    """A new B for every sequence length is no alignment at all; it used to be drawn without a word."""
    convolutions = [nn.Conv1d(3, 5, 3), nn.Tanh(), nn.Conv1d(5, 4, 3), nn.Tanh()]
    model = nn.Sequential(*convolutions, nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, K))
    attached = fa.attach(model, "dfa")
    model(torch.randn(2, 3, 12))
    with pytest.raises(ValueError, match="spatial='shared'"):
        model(torch.randn(2, 3, 14))
    attached.detach()
    fa.attach(model, fa.DirectFeedbackAlignment(spatial="shared"))
    for size in (12, 14):
        F.cross_entropy(model(torch.randn(2, 3, size)), torch.tensor([0, 1])).backward()


def test_pre_aligned_weights_carry_the_error_to_where_it_is_delivered():
    """W^T delta = c d holds exactly where the samples do not outnumber the units."""
    delivered, delta = torch.randn(5, 9).double(), torch.randn(5, 8).double()
    W = pre_aligned(delivered, delta)
    assert W.shape == (8, 9)
    assert W.norm() == pytest.approx(1)
    assert F.cosine_similarity(delta @ W, delivered).min() > 1 - 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fa.DirectFeedbackAlignment(reduction="none"), "`reduction` to be one of"),
        (lambda: fa.DirectFeedbackAlignment(spatial="both"), "`spatial` to be one of"),
        (lambda: fa.DirectFeedbackAlignment(shared=True, init="orthogonal"), "where feedback is shared"),
        (lambda: fa.SparseDirectFeedbackAlignment(connections=0), "`connections` to be at least 1"),
        (lambda: fa.LowRankDirectFeedbackAlignment(rank=0), "`rank` to be an int of at least 1"),
        (lambda: fa.SyntheticGradient(predictor="deep"), "`predictor` to be one of"),
        (lambda: fa.SyntheticGradientPropagation(inputs="labels"), "without h"),
        (lambda: fa.LocalLosses(loss="recon"), "`loss` to be one of"),
    ],
)
def test_options_are_checked_at_construction(make, message):
    """A misspelt option must not train its default for a week."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("width", [3, 5])
def test_one_sample_without_a_batch_is_no_batch_of_its_units(width):
    """Where a block was as wide as the output, B had one entry, by which every unit received the error of one output."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)).double()
    x = torch.randn(4, dtype=torch.float64)
    attached = fa.attach(net, "dfa", example=x)
    net(x).square().sum().backward()
    h, e = torch.tanh(net[0](x)), 2 * net(x).detach()
    (expected,) = torch.autograd.grad(h, net[0].weight, attached.feedback["0"].double() @ e)
    torch.testing.assert_close(net[0].weight.grad, expected)
