"""Faults in what a layer's type knows of its forward."""

from tests.faults.fault import Fault

LAYERS = ("tests/networks/test_transport_layers.py",)
ATTENTION = "wiring/transport/layers/attention.py"
RECURRENT = "wiring/transport/layers/recurrent.py"

FAULTS = [
    Fault(
        "a forward of one's own replaced by PyTorch's",
        "wiring/transport/layers/known.py",
        "if base is None or any(name in module.__dict__ for name in _FORWARDS):",
        "return None if base is None else LAYERS[base]\n    if False:",
        ("tests/networks/test_own_forwards.py",),
    ),
    Fault(
        "the true weight in the backward pass of an operator that is no Linear",
        "wiring/transport/layers/pairs.py",
        "            feedback_of(item)\n            if isinstance(item, Pair)",
        "            value_of(item)\n            if isinstance(item, Pair)",
        ("tests/networks/test_transport_pairs.py",),
    ),
    Fault(
        "a buffer that an operator changes changed once for W and once for B",
        "wiring/transport/layers/pairs.py",
        "item.clone() if _is_buffer",
        "item if _is_buffer",
        ("tests/networks/test_transport_pairs.py",),
    ),
    Fault(
        "the graph's proof blind to weights used by another module",
        "wiring/transport/proof.py",
        "found |= own_kind",
        "found |= set()",
        ("tests/networks/test_transport_refusals.py",),
    ),
    Fault(
        "a view returned that must not be changed in place",
        "ops/transport.py",
        "return out if out.ndim == 2 else torch.ops.aten._unsafe_view(out, out.shape)",
        "return out",
        ("tests/networks/test_own_forwards.py",),
    ),
    Fault(
        "feedback of attention not sliced with its weight",
        ATTENTION,
        "zip(self.weight.chunk(chunks), self.feedback.chunk(chunks))",
        "zip(self.weight.chunk(chunks), self.feedback.chunk(chunks)[::-1])",
        LAYERS,
    ),
    Fault(
        "feedback of attention split in another order",
        ATTENTION,
        "zip(self.weight.split(sizes), self.feedback.split(sizes))",
        "zip(self.weight.split(sizes), self.weight.split(sizes))",
        LAYERS,
    ),
    Fault(
        "the true weight in attention's projections",
        ATTENTION,
        "linear(x, weight.weight, bias, weight.feedback)",
        "linear(x, weight.weight, bias, weight.weight)",
        LAYERS,
    ),
    Fault(
        "the true weight in attention's output projection",
        ATTENTION,
        "if governed(inner) else inner.weight",
        "if False else inner.weight",
        LAYERS,
    ),
    Fault(
        "batch and time exchanged in attention",
        ATTENTION,
        "(output.transpose(1, 0) if turned else output), weights",
        "output, weights",
        LAYERS,
    ),
    Fault(
        "a mask of attention ignored",
        ATTENTION,
        "need_weights, mask, separate",
        "need_weights, None, separate",
        LAYERS,
    ),
    Fault(
        "the true weight from the input of a recurrent layer",
        RECURRENT,
        "linear(x, self.ih[0], self.b_ih, self.ih[1])",
        "linear(x, self.ih[0], self.b_ih, self.ih[0])",
        LAYERS,
    ),
    Fault(
        "the true weight through time",
        RECURRENT,
        "linear(h, self.hh[0], self.b_hh, self.hh[1])",
        "linear(h, self.hh[0], self.b_hh, self.hh[0])",
        LAYERS,
    ),
    Fault(
        "the true weight in a projected LSTM",
        RECURRENT,
        "linear(h, cell.hr[0], None, cell.hr[1])",
        "linear(h, cell.hr[0], None, cell.hr[0])",
        LAYERS,
    ),
    Fault(
        "a direction that reads forwards twice",
        RECURRENT,
        "for i in reversed(inputs) if backwards else inputs:",
        "for i in inputs:",
        LAYERS,
    ),
    Fault(
        "a backward direction returned in its own order",
        RECURRENT,
        "torch.stack(outputs[::-1] if backwards else outputs)",
        "torch.stack(outputs)",
        LAYERS,
    ),
    Fault(
        "all layers of a stack read the first layer's state",
        RECURRENT,
        "state = tuple(h[len(finals)] for h in hx)",
        "state = tuple(h[0] for h in hx)",
        LAYERS,
    ),
    Fault(
        "gates of a GRU exchanged",
        RECURRENT,
        "return ((state[0] - n) * z + n,)",
        "return ((state[0] - n) * r + n,)",
        LAYERS,
    ),
    Fault(
        "a packed sequence taken for a padded one",
        RECURRENT,
        "if not isinstance(bias, bool):",
        "if False:",
        LAYERS,
    ),
    Fault(
        "dropout between layers forgotten",
        RECURRENT,
        "if depth and layer.dropout:",
        "if False:",
        LAYERS,
    ),
    Fault(
        "an LSTM cell's state dropped",
        RECURRENT,
        "hx = (zeros, zeros) if several else zeros",
        "hx = (zeros, zeros + 1) if several else zeros",
        LAYERS,
    ),
]
