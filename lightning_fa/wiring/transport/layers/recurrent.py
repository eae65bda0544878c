"""Recurrent layers: FA through time, with a B for each of W_ih, W_hh (and W_hr), used at every step.

The backward of the fused kernels of ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` cannot be changed. Therefore these layers run step
by step, in the order of operations of PyTorch's CPU code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_fa.ops import linear
from lightning_fa.surgery import Behaviour

State: TypeAlias = tuple[Tensor, ...]


class Cell(NamedTuple):
    """The weights of one layer in one direction. Each matrix is a tuple (W, B)."""

    ih: tuple[Tensor, Tensor]
    hh: tuple[Tensor, Tensor]
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    hr: tuple[Tensor, Tensor] | None = None

    def from_input(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih, of one step or of all steps."""
        return linear(x, self.ih[0], self.b_ih, self.ih[1])

    def from_state(self, h: Tensor) -> Tensor:
        """W_hh h + b_hh."""
        return linear(h, self.hh[0], self.b_hh, self.hh[1])


Step: TypeAlias = Callable[[Cell, Tensor, State], State]
"""(cell, W_ih x + b_ih, state) -> next state. The first tensor of a state is h."""


def _tanh(cell: Cell, i: Tensor, state: State) -> State:
    return ((cell.from_state(state[0]) + i).tanh(),)


def _relu(cell: Cell, i: Tensor, state: State) -> State:
    return ((cell.from_state(state[0]) + i).relu(),)


def _gru(cell: Cell, i: Tensor, state: State) -> State:
    width = state[0].shape[-1]
    (i_rz, i_n), (h_rz, h_n) = (g.split([2 * width, width], -1) for g in (i, cell.from_state(state[0])))
    r, z = (gate.sigmoid() for gate in (h_rz + i_rz).chunk(2, -1))
    n = (i_n + h_n * r).tanh()
    return ((state[0] - n) * z + n,)


def _lstm(cell: Cell, i: Tensor, state: State) -> State:
    i, f, g, o = (cell.from_state(state[0]) + i).chunk(4, -1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if cell.hr is None else linear(h, cell.hr[0], None, cell.hr[1])), c


STEPS: dict[str, Step] = {"RNN_TANH": _tanh, "RNN_RELU": _relu, "GRU": _gru, "LSTM": _lstm}


def _direction(step: Step, cell: Cell, x: Tensor, state: State, backwards: bool) -> tuple[Tensor, State]:
    inputs = cell.from_input(x).unbind(0)
    outputs = []
    for i in reversed(inputs) if backwards else inputs:
        state = step(cell, i, state)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs), state


class _Kernels:
    """Stands in place of ``torch._VF`` in the forward of PyTorch's recurrent layers, for one call of one layer."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.rnn_tanh = self.rnn_relu = self.gru = self._single
        self.lstm = self._run

    def _single(self, x: Tensor, hx: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        return self._run(x, (hx,), *rest)

    def _run(self, x: Tensor, hx: Any, weights: Any, bias: bool, *rest: Any) -> tuple[Tensor, ...]:
        if not isinstance(bias, bool):  # the overload for packed sequences, with batch sizes as its second argument
            raise TypeError(
                f"Under a transport rule {type(self.layer).__name__} takes no PackedSequence: pad the batch, and mask the loss."
            )
        layer, step = self.layer, STEPS[self.layer.mode]
        directions = 2 if layer.bidirectional else 1
        if layer.batch_first:
            x = x.transpose(0, 1)
        finals: list[State] = []
        for depth in range(layer.num_layers):
            if depth and layer.dropout:
                x = F.dropout(x, layer.dropout, layer.training)
            outputs = []
            for way in range(directions):
                state = tuple(h[len(finals)] for h in hx)
                out, state = _direction(step, self._cell(depth, way), x, state, bool(way))
                outputs.append(out)
                finals.append(state)
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        hidden = [torch.stack(h) for h in zip(*finals)]
        return x.transpose(0, 1) if layer.batch_first else x, *hidden

    def _cell(self, depth: int, way: int) -> Cell:
        layer, end = self.layer, f"_l{depth}" + ("_reverse" if way else "")
        ih, hh = (layer._feedback_port(layer, f"weight_{which}{end}") for which in ("ih", "hh"))
        hr = layer._feedback_port(layer, f"weight_hr{end}") if layer.proj_size else None
        b_ih, b_hh = (getattr(layer, f"bias_{which}{end}") if layer.bias else None for which in ("ih", "hh"))
        return Cell(ih, hh, b_ih, b_hh, hr)


class TransportedRecurrence(Behaviour):
    """``nn.RNN``, ``nn.GRU``, ``nn.LSTM``: all layers and directions, projections, dropout; no packed sequences."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        # PyTorch's own forward with its checks and shapes, except that the global name `_VF` in it is `_Kernels`.
        own = _forward_of(type(self))
        scope = {**own.__globals__, "_VF": _Kernels(self)}
        return FunctionType(own.__code__, scope, own.__name__, own.__defaults__)(self, *args, **kwargs)


def _forward_of(cls: type) -> Any:
    own: Any = next(base.__dict__["forward"] for base in cls.__mro__ if base in (nn.RNN, nn.GRU, nn.LSTM))
    return own


class TransportedCell(Behaviour):
    """``nn.RNNCell``, ``nn.GRUCell``, ``nn.LSTMCell``."""

    def forward(self, x: Tensor, hx: Any = None) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(x, hx)  # type: ignore[misc]
        m: Any = self
        several = isinstance(m, nn.LSTMCell)
        if x.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected input to be 1D or 2D, got {x.ndim}D instead")
        if hx is None:
            zeros = torch.zeros(*x.shape[:-1], m.hidden_size, dtype=x.dtype, device=x.device)
            hx = (zeros, zeros) if several else zeros
        state = _rows(hx if several else (hx,))
        (rows,) = _rows((x,))
        cell = Cell(m._feedback_port(m, "weight_ih", x), m._feedback_port(m, "weight_hh"), m.bias_ih, m.bias_hh)
        state = STEPS[self._mode](cell, cell.from_input(rows), state)
        state = state if x.ndim == 2 else tuple(s.squeeze(0) for s in state)
        return state if several else state[0]

    @property
    def _mode(self) -> str:
        kinds = {nn.GRUCell: "GRU", nn.LSTMCell: "LSTM"}
        for cls, mode in kinds.items():
            if isinstance(self, cls):
                return mode
        return f"RNN_{self.nonlinearity.upper()}"  # type: ignore[attr-defined]


def _rows(tensors: Sequence[Tensor]) -> State:
    return tuple(t if t.ndim == 2 else t.unsqueeze(0) for t in tensors)


RECURRENT: dict[type[nn.Module], type[Behaviour]] = {
    **dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), TransportedRecurrence),
    **dict.fromkeys((nn.RNNCell, nn.GRUCell, nn.LSTMCell), TransportedCell),
}
