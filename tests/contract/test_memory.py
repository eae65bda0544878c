"""Gradients that are computed in the forward pass: the memory of one block, and no operation more."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import lightning_fa as fa
from benchmarks.saved import SavedBytes, gradient_bytes
from lightning_fa.wiring.graph import reach
from lightning_fa.wiring.passes import held
from tests.settling import data, deep, every_rule, loss_of, ready


@pytest.fixture(autouse=True)
def nothing_is_too_small(monkeypatch):
    """The networks of these tests hold kilobytes, which a user need not save."""
    monkeypatch.setattr(held, "SMALL", 0)


def saved(rule: str | None, depth: int) -> SavedBytes:
    """What a network of ``depth`` layers has saved for backward when its loss is there."""
    return saved_by(deep(depth, 32), rule, data(64, torch.float32))


def saved_by(model: nn.Module, rule: str | None, batch: tuple[torch.Tensor, torch.Tensor]) -> SavedBytes:
    """What ``model`` has saved, where the rule decides which graphs are kept."""
    attached = None if rule is None else fa.attach(model, rule, example=batch[0][:2])
    for _ in range(2):  # in its first pass the library counts what a loss saves, by hooks that hide it from ours
        with SavedBytes(model) as count:
            loss = F.cross_entropy(model(batch[0]), batch[1]) if attached is None else loss_of(model, attached, batch)
            found = copy.copy(count)
        loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert count.activations == count.gradients == 0
    return found


@pytest.mark.parametrize(("rule", "share"), [("lafs", 0.05), ("drtp", 0.05), ("local", 0.05), ("sg", 0.10)])
def test_what_is_saved_at_fifty_layers_is_a_small_part_of_backprops(rule, share):
    """The reason to train layers by losses of their own; kept graphs give 1.0, and 2.0 with predictors."""
    assert saved(rule, 50).activations <= share * saved(None, 50).activations


@every_rule
def test_depth_costs_parameters_and_gradients_only(rule):
    """Else the deepest network that fits is a matter of the batch, as under backpropagation."""
    shallow, ours = saved(rule, 10), saved(rule, 40)
    assert (ours.activations, ours.peak) == (shallow.activations, shallow.peak)
    assert saved(None, 40).activations > 3 * saved(None, 10).activations  # the count sees what grows


@pytest.mark.parametrize("rule", ["lafs", "drtp"])
def test_what_waits_is_one_gradient_for_every_parameter_below_the_head(rule):
    """Anything beside would be activations under another name."""
    model = deep(40, 32)
    assert saved(rule, 40).gradients == gradient_bytes(model[:-1])


def settled_in(model: nn.Module, attached: fa.Attached, samples: int) -> int:
    """How many weight matrices below the head have their gradients when the loss is there."""
    loss = loss_of(model, attached, data(samples, torch.float32))
    waiting = reach([loss.grad_fn])
    loss.backward()
    places = [edge for node in waiting if node.name() == "_SettledBackward" for edge, _ in node.next_functions]
    found = {id(edge.variable) for edge in places if hasattr(edge, "variable")}
    return sum(id(layer.weight) in found for layer in model.modules() if isinstance(layer, nn.Linear))


def settled_at(model: nn.Module, rule: str, samples: int, example: torch.Tensor | None, **settings) -> int:
    """The same in the second pass: without an example the first one shows the shapes."""
    attached = fa.attach(model, rule, example=example, **settings)
    found = [settled_in(model, attached, samples) for _ in range(2)]
    attached.detach()
    return found[-1]


class Thick(nn.Module):
    """A block that holds much more than its output: 6 * width for one width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x)
        for _ in range(5):
            x = x.sigmoid()
        return x


@pytest.mark.parametrize("example", [True, False])
@pytest.mark.parametrize("rule", ["lafs", "drtp", "local"])
def test_a_graph_is_kept_where_it_holds_less_than_the_gradients(rule, example):
    """The peak is the gradients' either way, so that all that settling would bring is its time.

    A block of width 16 has (16 + 1) * 16 = 272 parameters and holds 16 numbers a sample, as many at 17 samples; the first block
    has (6 + 1) * 16 = 112. What the loss of a block holds beside that counts as well.
    """
    given = torch.zeros(2, 6) if example else None
    assert [settled_at(deep(4, 16), rule, n, given) for n in (2, 18)] == [0, 4]


def test_an_example_that_is_part_of_a_data_set_counts_as_what_it_is():
    """``example=x[:2]`` shares its memory with all of x: the first block, and under `sg` all, would seem to hold the data set."""
    whole = torch.zeros(1000, 6)
    for rule in ("lafs", "sg"):
        assert settled_at(deep(4, 16), rule, 2, whole[:2]) == 0


def test_weights_that_a_graph_refers_to_are_not_held_by_it():
    """They are there anyway; counted, every block of two layers would seem to hold as much as its gradients."""
    torch.manual_seed(0)
    units = [nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16)) for _ in range(3)]
    model = nn.Sequential(nn.Linear(6, 16), *units, nn.Linear(16, 3))
    model[0].requires_grad_(False)
    blocks = ["0", "1", "2", "3", "4"]
    assert [settled_at(model, "lafs", n, torch.zeros(1, 6), blocks=blocks) for n in (4, 60)] == [0, 6]


def test_what_is_allocated_later_does_not_change_what_a_block_held():
    """Memory that the dry run gave back is given to others, as to the next copy of a shared readout.

    A block that seemed to have less than it holds would keep its graph in one process and not in another.
    """
    count, x = held.Held(), torch.randn(1000, 4)
    with count.dry_run():
        count.given([x])
        h = x.requires_grad_()
        for _ in range(100):
            h = h.sigmoid()
        count.end("block", h)
    size = h.numel() * h.element_size()
    h = h.detach()
    later = [torch.empty(1) for _ in range(1000)]
    assert count.saves("block", h, lambda name: later) == {"block": 100 * size}


def test_the_graph_of_a_local_loss_counts():
    """A vocabulary of thousands is scored after every block: those scores outweigh the block's own graph."""
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 200))
    assert settled_at(model, "lafs", 2, torch.zeros(2, 6)) == 2


def test_what_a_block_holds_is_counted_in_the_dry_run():
    """A transformer's block holds twenty times its output; judged by that alone, its graphs would all be kept."""
    for samples, settled in ((2, 0), (4, 3)):
        model = nn.Sequential(nn.Linear(6, 16), Thick(16), Thick(16), Thick(16), nn.Linear(16, 3))
        model[0].requires_grad_(False)
        assert settled_at(model, "lafs", samples, torch.zeros(3, 6)) == settled


@pytest.mark.parametrize("example", [True, False])
@pytest.mark.parametrize("rule", ["lafs", "drtp", "local"])
def test_graphs_are_kept_where_all_of_them_together_need_no_saving(rule, example, monkeypatch):
    """As on a network for teaching, where settling is a third of a step's time and saves kilobytes.

    A sample's four blocks of width 16 hold 4 * 16 * 4 = 256 bytes. Their gradients have (112 + 3 * 272) * 4 = 3712 bytes. What a
    loss holds comes on top, so that 2**17 bytes are passed at 600 samples, and not at 40 (`local`: 40 by 40 similarities of
    40 samples).
    """
    monkeypatch.setattr(held, "SMALL", 2**17)
    given = torch.zeros(2, 6) if example else None
    assert [settled_at(deep(4, 16), rule, n, given) for n in (40, 600)] == [0, 4]
    monkeypatch.setattr(held, "SMALL", 0)
    assert settled_at(deep(4, 16), rule, 40, given) == 4  # each block holds more than its gradients


def test_every_batch_decides_for_itself():
    """The last batch of an epoch is often a small one."""
    model = deep(4, 16)
    attached = fa.attach(model, "lafs", example=torch.zeros(2, 6))
    assert [settled_in(model, attached, n) for n in (18, 2, 18)] == [4, 0, 4]


@every_rule
def test_depth_costs_gradients_only_where_graphs_are_kept(rule):
    """Else a network whose layers hold a little less than their weights would need twice the memory."""
    model = deep(40, 32)
    batch = data(16, torch.float32)
    found = saved_by(model, rule, batch)
    assert found.activations + found.gradients <= 1.1 * gradient_bytes(model)


@every_rule
def test_a_step_takes_as_many_operations_as_with_graphs_kept(rule):
    """Memory that is paid for by running a block twice is what checkpointing offers already."""
    counts = []
    for kept in (False, True):
        model, attached = ready(rule)
        attached._wiring.step.settles = "never" if kept else "always"
        with FlopCounterMode(display=False) as counter:
            loss_of(model, attached, data()).backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@every_rule
def test_without_gradients_nothing_is_computed(rule):
    """Validation would cost a training step."""
    model, attached = ready(rule)
    batch = data()
    attached.targets = batch[1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(batch[0])
    assert counter.get_total_flops() == 2 * 5 * (6 * 8 + 8 * 8 * 2 + 8 * 3)
    assert not attached._wiring.step.terms


def test_what_sends_errors_through_all_blocks_keeps_its_graphs():
    """SG+prop's error at a block holds what its neighbour sends, which holds what the one above sends, up to the loss."""
    assert saved("sgprop", 40).activations > 3 * saved("sgprop", 10).activations
