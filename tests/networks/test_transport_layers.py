"""Layers with several weights or none, under transport: forward and control equal PyTorch's own, and B is used."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import Gradients, assert_same, distance

F64 = torch.float64


class Only(nn.Module):
    """A layer alone in a network, so that it has a name; all its outputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args, **kwargs) -> list[Tensor]:
        out, flat = [self.layer(*args, **kwargs)], []
        while out:
            item = out.pop(0)
            if isinstance(item, Tensor):
                flat.append(item)
            elif item is not None:
                out = [*item, *out]
        return flat


def run(net: nn.Module, x: Tensor, *args, **kwargs) -> tuple[list[Tensor], Gradients]:
    net.zero_grad()
    x.grad = None
    torch.manual_seed(5)
    outputs = net(x, *args, **kwargs)
    sum((o.square() * (1 + i)).sum() for i, o in enumerate(outputs)).backward()
    own = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    return [o.detach() for o in outputs], own | {"x": x.grad.clone()}


def check(net: nn.Module, x: Tensor, *args, **kwargs) -> None:
    """Forward bitwise, the control bitwise, and under fa another error below the layer."""
    outputs, expected = run(net, x, *args, **kwargs)
    for rule in ("bp", "fa"):
        attached = fa.attach(net, rule)
        ours, gradients = run(net, x, *args, **kwargs)
        assert all(map(torch.equal, ours, outputs))
        if rule == "bp":
            assert_same(gradients, expected)
        else:
            assert distance(gradients["x"], expected["x"]) > 0.1
        attached.detach()


TRANSPOSED = {
    "plain": (lambda: nn.ConvTranspose2d(2, 3, 3), (4, 5), None),
    "stride, output padding": (
        lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1),
        (4, 5),
        None,
    ),
    "output size": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=3), (4, 5), [14, 15]),
    "groups, dilation": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2, bias=False), (4, 5), None),
    "one dimension": (lambda: nn.ConvTranspose1d(2, 3, 4, stride=2), (5,), None),
    "three dimensions": (lambda: nn.ConvTranspose3d(2, 3, 2, stride=(1, 2, 1)), (3, 2, 4), None),
}


@pytest.mark.parametrize("shape", TRANSPOSED)
def test_a_transposed_convolution_sends_the_convolution_with_b_down(shape):
    """The one layer whose weight has the input channels first: the other way round, B is scrambled."""
    build, size, output_size = TRANSPOSED[shape]
    net = Only(build().double())
    x = torch.randn(2, net.layer.in_channels, *size, dtype=F64, requires_grad=True)
    check(net, x, output_size)
    check(net, x.detach()[0].requires_grad_(), output_size)
    attached = fa.attach(net, "fa")
    (out,) = net(x, output_size)
    delta = torch.randn_like(out)
    x.grad = None
    out.backward(delta)
    twin = copy.deepcopy(net.layer)
    attached.detach()
    plain = type(net.layer)(
        twin.in_channels, twin.out_channels, twin.kernel_size, twin.stride, twin.padding, twin.output_padding,
        twin.groups, False, twin.dilation, dtype=F64,
    )  # fmt: skip
    with torch.no_grad():
        plain.weight.copy_(attached.feedback["layer"])
    z = torch.zeros_like(x, requires_grad=True)
    plain(z, output_size).backward(delta)  # linear: its own backward is the transposed map with B
    assert distance(x.grad, z.grad) < 1e-14


KINDS = {
    "self": lambda q, k, v: (q, q),
    "memory": lambda q, k, v: (k, k),
    "three": lambda q, k, v: (k, v),
}
CAUSAL = torch.triu(torch.ones(3, 3, dtype=torch.bool), 1)
MASKS = {
    "none": {},
    "fused": {"need_weights": False},
    "mask": {"attn_mask": CAUSAL},
    "padding": {"key_padding_mask": torch.tensor([[False, False, True]] * 3), "average_attn_weights": False},
    "causal": {"is_causal": True, "need_weights": False, "attn_mask": CAUSAL},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False], ids=["batch first", "time first"])
def test_attention_is_pytorchs_own_with_other_projections(kind, mask, first):
    """Its projections pass no module, so that libraries that exchange modules leave attention to backprop unnoticed."""
    for bias, dropout, appended in itertools.product([True, False], [0.0, 0.2], [False, True]):
        layer = nn.MultiheadAttention(8, 2, dropout, bias, add_bias_kv=appended, batch_first=first)
        q, k, v = (torch.randn(3, 3, 8) for _ in range(3))
        check(Only(layer), q.requires_grad_(), *KINDS[kind](q, k, v), **MASKS[mask])


def test_attention_over_memories_of_other_widths():
    """Then the projections are three parameters in place of one."""
    layer = nn.MultiheadAttention(8, 2, kdim=7, vdim=5)
    net = Only(layer)
    check(net, torch.randn(3, 2, 8, requires_grad=True), torch.randn(4, 2, 7), torch.randn(4, 2, 5))
    names = {f"layer.{w}_proj_weight" for w in "qkv"} | {"layer.out_proj"}
    assert fa.attach(net, "fa").feedback.keys() == names


def test_attention_sends_its_errors_through_b():
    """With B = W it is backprop; with B exchanged in one projection, the others are as they were."""
    net = Only(nn.MultiheadAttention(8, 2, dtype=F64))
    x = torch.randn(3, 2, 8, dtype=F64, requires_grad=True)
    _, expected = run(net, x, x, x, need_weights=False)
    attached = fa.attach(net, "fa")
    attached.feedback["layer.in_proj_weight"].copy_(net.layer.in_proj_weight.detach())
    attached.feedback["layer.out_proj"].copy_(net.layer.out_proj.weight.detach())
    _, ours = run(net, x, x, x, need_weights=False)
    assert all(distance(ours[n], expected[n]) < 1e-13 for n in expected)
    attached.feedback["layer.out_proj"].neg_()
    _, ours = run(net, x, x, x, need_weights=False)
    assert distance(ours["x"], -expected["x"]) < 1e-13


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_layer_is_unharmed(training):
    """Its fast path reads the attention's weights itself."""
    net = Only(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)).train(training)
    x = torch.randn(3, 4, 8, requires_grad=True)
    check(net, x)
    with torch.no_grad():
        (plain,) = net.eval()(x)
        fa.attach(net, "fa")
        assert torch.equal(net(x)[0], plain)


RECURRENT = {
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_a_recurrent_layer_is_pytorchs_own_step_by_step(kind, layers, both):
    """A loop that orders gates, layers or directions otherwise is another network under the same name."""
    cls, settings = RECURRENT[kind]
    for first, bias in itertools.product([False, True], [False, True]):
        layer = cls(
            5,
            6,
            layers,
            bias=bias,
            batch_first=first,
            dropout=0.3 * (layers - 1),
            bidirectional=both,
            dtype=F64,
            **settings,
        )
        net = Only(layer)
        check(net, torch.randn(4, 3, 5, dtype=F64, requires_grad=True))
        check(net, torch.randn(4, 5, dtype=F64, requires_grad=True))


def test_a_recurrent_layer_takes_the_state_that_it_is_given():
    """Truncated backpropagation through time hands states on."""
    net, x = Only(nn.GRU(5, 6, dtype=F64)), torch.randn(4, 3, 5, dtype=F64, requires_grad=True)
    check(net, x, torch.randn(1, 3, 6, dtype=F64))
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        fa.attach(net, "fa") and net(x, torch.randn(1, 2, 6, dtype=F64))


def test_a_fused_lstm_in_single_precision_is_close():
    """PyTorch's CPU kernel for it (oneDNN) rounds otherwise: the difference must stay rounding (measured: 2e-7)."""
    net, x = Only(nn.LSTM(5, 6, 2)), torch.randn(4, 3, 5, requires_grad=True)
    outputs, expected = run(net, x)
    fa.attach(net, "bp")
    ours, gradients = run(net, x)
    assert all((a - b).abs().max() < 1e-6 for a, b in zip(ours, outputs))
    assert all(distance(gradients[n], expected[n]) < 1e-5 for n in expected)


def test_feedback_alignment_through_time_by_hand():
    """W_hh carries the error back in time: if only the layer's input were under FA, the rule would be BPTT."""
    net, x = Only(nn.RNN(3, 4, dtype=F64)), torch.randn(3, 1, 3, dtype=F64)
    attached = fa.attach(net, "fa")
    h = net(x)[0]
    h[-1].sum().backward()
    H, B = h.detach()[:, 0], attached.feedback["layer.weight_hh_l0"]
    delta, grad = torch.ones(4, dtype=F64), torch.zeros(4, 3, dtype=F64)
    for t in (2, 1, 0):
        delta = delta * (1 - H[t] ** 2)
        grad += torch.outer(delta, x[t, 0])
        delta = delta @ B
    assert distance(net.layer.weight_ih_l0.grad, grad) < 1e-14


@pytest.mark.parametrize("cls", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_a_cell_is_pytorchs_own(cls):
    """Cells are what people write their own loops with."""
    net = Only(cls(5, 6, dtype=F64))
    check(net, torch.randn(4, 5, dtype=F64, requires_grad=True))
    check(net, torch.randn(5, dtype=F64, requires_grad=True))


def test_a_packed_sequence_is_an_error():
    """Read as a padded batch it would mix the sequences."""
    net = Only(nn.GRU(5, 6))
    fa.attach(net, "fa")
    with pytest.raises(TypeError, match="PackedSequence"):
        net.layer(nn.utils.rnn.pack_sequence([torch.randn(3, 5), torch.randn(2, 5)]))


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_a_parametrised_weight_is_an_error(norm):
    """Its matrix is no parameter of the layer: the layer would be skipped, and trained by backprop."""
    with pytest.raises(ValueError, match="parametris"):
        fa.attach(nn.Sequential(norm(nn.Linear(3, 4)), nn.Linear(4, 2)), "fa")


def test_a_vector_of_many_dimensions_is_no_matrix():
    """A class token is added, and has no error to carry."""

    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.inner = nn.Parameter(torch.zeros(1, 4, 3)), nn.Linear(2, 2)

    table = repr(fa.attach(Token(), "fa"))
    assert "token[1, 4, 3]" in table
    assert "none of the rule's: ungoverned, added or element-wise" in table


def test_tied_weights_have_one_feedback():
    """Two B for one W would be two answers for one synapse."""
    for rule in ("fa", "kp"):
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        net[2].weight = net[0].weight
        attached = fa.attach(net, rule)
        assert torch.equal(attached.feedback["0"], attached.feedback["2"])
        if rule == "kp":
            assert len(list(net.parameters())) == 4  # W, B, two biases
            net(torch.randn(3, 4)).sum().backward()
            assert distance(attached.feedback["0"].grad, net[0].weight.grad) < 1e-6


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_every_layer_of_a_stack_begins_in_its_own_state(kind):
    """States of zeros, as in most tests, do not show which layer reads which of them."""
    layer = kind(3, 4, num_layers=2, bidirectional=True).double()
    x, states = torch.randn(5, 2, 3, dtype=F64), [torch.randn(4, 2, 4, dtype=F64) for _ in range(2)]
    hx = tuple(states) if kind is nn.LSTM else states[0]
    expected, _ = layer(x, hx)
    fa.attach(Only(layer), "fa")
    assert distance(layer(x, hx)[0], expected) < 1e-14


def test_without_feedback_at_its_projection_an_lstm_learns_nothing_below_it():
    """The one way from h down to the gates is through W_hr: with B = 0 there, only what needs no way down may learn."""
    layer = nn.LSTM(3, 6, proj_size=4).double()
    net = Only(layer)
    attached = fa.attach(net, "fa")
    out, _ = layer(torch.randn(5, 2, 3, dtype=F64))
    out.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in layer.parameters())
    layer.zero_grad()
    attached.feedback["layer.weight_hr_l0"].zero_()
    out, _ = layer(torch.randn(5, 2, 3, dtype=F64))
    out.square().sum().backward()
    assert layer.weight_hr_l0.grad.abs().max() > 0
    assert all(p.grad.abs().max() == 0 for name, p in layer.named_parameters() if "hr" not in name)


class Two(nn.Module):
    """A module that uses two matrices of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return torch.tanh(x @ self.a) @ self.b


@pytest.mark.parametrize("rule", ["fa", "usf", "brsf", "kp", "wm", "pbp", "fa_sparse"])
def test_backward_weights_are_those_of_the_governed_matrices(rule):
    """With one matrix of a layer excluded `AlignmentMonitor` ended the training by an AttributeError."""
    net = nn.Sequential(nn.Linear(4, 4), Two(), nn.GRU(4, 4, batch_first=True))
    attached = fa.attach(net, rule, ungoverned=["1.a", "2.weight_hh*"])
    found = {name: (b, w) for name, b, w in attached.backward_weights()}
    assert found.keys() == {"0", "1.b", "2.weight_ih_l0"}
    for name, (b, w) in found.items():
        assert b.shape == w.shape
        if rule in ("fa", "kp", "fa_sparse"):
            assert torch.equal(b, attached.feedback[name])
