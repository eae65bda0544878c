"""Recurrent networks: one error per time step where every step is scored, one per sequence where the last state is."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import distance, read


class Sequence(nn.Module):
    """Two recurrent layers; the head scores every step, or the last state."""

    def __init__(self, cell: type[nn.RNNBase], every: bool) -> None:
        super().__init__()
        self.low, self.top = cell(4, 5, batch_first=True), cell(5, 6, batch_first=True)
        self.head, self.every = nn.Linear(6, 3), every

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.top(torch.tanh(self.low(x)[0]))
        return self.head(h if self.every else h[:, -1])


class Loop(nn.Module):
    """A cell and the head in a loop of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h, scores = x.new_zeros(len(x), 6), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            scores.append(self.head(h))
        return torch.stack(scores, 1)


def both(net, every, **settings):
    """The network, its twin without a rule, inputs, targets and the rule."""
    torch.manual_seed(3)
    model = net().double()
    x, y = torch.randn(7, 5, 4).double(), torch.randint(3, (7, 5) if every else (7,))
    plain = copy.deepcopy(model)
    return model, plain, x, y, fa.attach(model, "dfa", **settings)


def error_of(out: Tensor, y: Tensor) -> Tensor:
    """dL/dy of the cross-entropy, by hand."""
    return (out.softmax(-1) - F.one_hot(y, 3)).detach() / y.numel()


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_where_every_step_is_scored_each_receives_its_own_error(cell):
    """One B for all steps, e of step t at the output of step t, and backpropagation through time inside a layer only."""
    model, plain, x, y, attached = both(lambda: Sequence(cell, True), True)
    F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
    assert {name: tuple(b.shape) for name, b in attached.feedback.items()} == {"low": (5, 3), "top": (6, 3)}
    low = torch.tanh(plain.low(x)[0])
    top = plain.top(low.detach())[0]
    out = plain.head(top.detach())
    e = error_of(out, y)
    for h, name in ((low, "low"), (top, "top")):
        h.backward(torch.einsum("nto,wo->ntw", e, attached.feedback[name]))
    out.backward(e)
    assert all(distance(g, read(plain)[name]) < 1e-12 for name, g in read(model).items())


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_where_the_last_state_is_scored_a_layer_below_hears_of_it_at_every_step(cell):
    """The top layer receives e at its last state. The layer below has an output for every step, dense in all of them."""
    model, plain, x, y, attached = both(lambda: Sequence(cell, False), False)
    F.cross_entropy(model(x), y).backward()
    assert {name: tuple(b.shape) for name, b in attached.feedback.items()} == {"low": (5 * 5, 3), "top": (6, 3)}
    low = torch.tanh(plain.low(x)[0])
    top = plain.top(low.detach())[0]
    out = plain.head(top[:, -1].detach())
    e = error_of(out, y)
    low.backward((e @ attached.feedback["low"].T).reshape(low.shape))
    top[:, -1].backward(e @ attached.feedback["top"].T)
    out.backward(e)
    assert all(distance(g, read(plain)[name]) < 1e-12 for name, g in read(model).items())


@pytest.mark.parametrize("example", [False, True])
def test_a_cell_and_a_head_in_a_loop_are_a_layer_that_scores_every_step(example):
    """Every step is a pass with an error of its own, which goes on through time inside the cell."""
    torch.manual_seed(3)
    x, y = torch.randn(7, 5, 4).double(), torch.randint(3, (7, 5))
    model, plain, _, _, attached = both(Loop, True, example=x if example else None)
    F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
    h, states = x.new_zeros(7, 6), []
    for t in range(5):
        h = plain.cell(x[:, t], h)
        states.append(h)
    states = torch.stack(states, 1)
    out = plain.head(states.detach())
    e = error_of(out, y)
    states.backward(torch.einsum("nto,wo->ntw", e, attached.feedback["cell"]))
    out.backward(e)
    assert all(distance(g, read(plain)[name]) < 1e-12 for name, g in read(model).items())
