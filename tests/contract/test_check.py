"""`fa.check` tells the truth about what trains a model, and leaves no trace."""

import math
from dataclasses import dataclass
from typing import final

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from tests.lightning_net import Net
from tests.problems import PROBLEMS, criterion, mlp

MLP = PROBLEMS["mlp"]


def checked(rule, problem=MLP, **settings):
    return fa.check(problem.model(), rule, problem.batch(), criterion, **settings)


def test_the_control_has_no_angle_anywhere():
    """Any angle here would be an error of the measurement, in which every number of the table stands."""
    seen = checked("bp")
    assert [row.angle for row in seen.rows] == [0, 0, 0]
    assert seen.forward_unchanged
    assert not seen.problems


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs", "drtp"])
def test_hidden_layers_turn_by_an_angle_and_the_head_by_none(rule):
    """A rule's head has the true error; a hidden layer with it is trained by backpropagation."""
    *hidden, head = checked(rule, strict=True).rows
    assert all(row.angle > 1 and row.learns == "by the rule" for row in hidden)
    assert head.angle < 1e-4
    assert head.learns == "as by backpropagation"
    assert "true error" in head.error


def test_the_angle_is_that_of_the_gradients_of_two_models():
    """Computed here once more, on two models and with .grad."""
    plain, ruled = MLP.model(), MLP.model()
    x, y = MLP.batch()
    F.cross_entropy(plain(x), y).backward()
    fa.attach(ruled, "dfa")
    F.cross_entropy(ruled(x), y).backward()
    for row in checked("dfa").rows[:2]:
        u, v = (m.get_parameter(row.weight).grad.flatten().double() for m in (plain, ruled))
        assert row.angle == pytest.approx(math.degrees(math.acos(u @ v / u.norm() / v.norm())), abs=1e-3)


def test_layers_without_an_error_are_said_to_learn_not_at_all():
    """`shallow` is there to leave hidden layers alone; a synthetic gradient begins at zero. Neither is a fault."""
    for rule in ("shallow", "sg"):
        *hidden, head = checked(rule, strict=True).rows
        assert all(row.learns.startswith("not at all") and math.isnan(row.angle) for row in hidden)
        assert head.learns == "as by backpropagation"


class Tied(nn.Module):
    """Its head's weight is the embedding's; what leaves its blocks is normalised."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.norm = nn.LayerNorm(6, elementwise_affine=False, eps=0)

    def forward(self, x):
        h = self.norm(torch.tanh(self.first(self.embedding(x))))
        return self.head(self.norm(torch.tanh(self.second(h))))


@pytest.mark.parametrize("rule", ["dfa", "solo", "shallow"])
def test_a_tied_weight_is_said_to_learn(rule):
    """It has one name among parameters and two among modules: the head of a language model stood as frozen."""
    torch.manual_seed(0)
    net, x = Tied(), torch.arange(7)
    seen = fa.check(net, rule, (x, x), criterion, example=x)
    assert seen.rows[-1].weight == "head.weight"
    assert seen.rows[-1].learns == "by the rule"


def test_a_readout_that_is_the_heads_may_give_the_top_block_the_true_error():
    """Where what enters the head is normalised, the loss of `solo` for the top block is the network's own: no fault."""
    torch.manual_seed(0)
    net, x = Tied(), torch.arange(7)
    first, second, _ = fa.check(net, "solo", (x, x), criterion, example=x, strict=True).rows
    assert first.learns == "by the rule"
    assert second.angle < 0.1


@final
@dataclass(frozen=True, kw_only=True)
class Pretended(fa.TransportRule):
    """Says that it is another rule, and transports W."""

    def carrier(self, weight, feedback):
        return weight.detach()


def test_a_rule_that_is_backpropagation_in_secret_is_found():
    """The known "DFA" optimizer that is backpropagation trains well, and is believed."""
    seen = checked(Pretended())
    assert seen.forward_unchanged
    assert "Pretended gives 0.weight, 2.weight the gradient of backpropagation" in seen.problems[0]
    with pytest.raises(RuntimeError, match="the gradient of backpropagation"):
        checked(Pretended(), strict=True)


def test_direct_feedback_through_the_true_weights_is_found():
    """With B^1 = W^2 of a network with one hidden layer DFA is backpropagation, by its formula."""
    net = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 5))
    rule = fa.DirectFeedbackAlignment(init={"0": net[2].weight.detach().T})
    seen = fa.check(net, rule, MLP.batch(), criterion)
    assert "gives 0.weight the gradient of backpropagation" in seen.problems[0]


def test_a_forward_pass_that_the_rule_changes_is_found(monkeypatch):
    """A network that is another in training than in validation."""
    carrier = fa.FeedbackAlignment.carrier

    def spoiled(self, weight, feedback):
        with torch.no_grad():
            weight.mul_(1.5)
        return carrier(self, weight, feedback)

    monkeypatch.setattr(fa.FeedbackAlignment, "carrier", spoiled)
    model = MLP.model()
    assert not fa.check(model, "fa", MLP.batch(), criterion).forward_unchanged
    assert torch.equal(model[0].weight, MLP.model()[0].weight)


def test_parameters_in_no_optimizer_are_named():
    """They stay where they began, and so does the run's accuracy."""
    model = mlp()
    some = torch.optim.SGD(model[0].parameters(), 0.1)
    rest = torch.optim.SGD(model[2].parameters(), 0.1)
    seen = fa.check(model, "dfa", MLP.batch(), criterion, optimizers=[some, rest])
    assert seen.unheld == ["4.weight", "4.bias"]
    old = torch.optim.SGD(model.parameters(), 0.1)
    attached = fa.attach(model, "kp")
    assert fa.check(model, attached, MLP.batch(), criterion, optimizers=[old]).unheld == [
        "0._feedback",
        "2._feedback",
        "4._feedback",
    ]


@pytest.mark.parametrize("rule", ["bp", "fa_sparse", "wm", "dfa", "sg", "local"])
def test_nothing_remains_of_a_check(rule):
    """A check at the beginning of a script must not change the run that follows."""
    problem = PROBLEMS["cnn"]
    model, x = problem.model(), problem.batch()[0]
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[1].eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    modes, random = [m.training for m in model.modules()], torch.get_rng_state()
    fa.check(model, rule, problem.batch(), criterion, example=x)
    assert torch.equal(torch.get_rng_state(), random)
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["0.weight"]
    assert not any("_feedback" in name for name, _ in model.named_parameters())
    assert type(model[0]) is nn.Conv2d


def test_an_attached_model_goes_on_as_if_it_had_not_been_checked():
    """Streams and learned feedback of a run are part of it."""
    results = []
    for look in (False, True):
        model = MLP.model()
        attached = fa.attach(model, "wm")
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for seed in range(3):
            x, y = MLP.batch(seed=seed)
            if look:
                fa.check(model, attached, (x, y), criterion)
            optimizer.zero_grad()
            attached.loss(F.cross_entropy(model(x), y)).backward()
            optimizer.step()
        results.append([p.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("rule", ["bp", "dfa", "lafs"])
def test_a_lightning_module_is_checked_by_its_training_step(rule):
    """Its loss is its own business, and `log` finds no Trainer."""
    module = Net()
    own = module.training_step

    def step(batch, batch_idx):
        module.log("loss", 0.0)
        return own(batch, batch_idx)

    module.training_step = step
    seen = fa.check(module, rule, MLP.batch(), strict=True)
    assert [row.weight for row in seen.rows] == ["net.0.weight", "net.2.weight", "net.4.weight"]
    assert (seen.rows[0].angle > 1) == (rule != "bp")


def test_the_table_has_a_line_per_weight_and_says_how_many_learn_by_what():
    """What a user pastes into an issue."""
    seen = checked("dfa", PROBLEMS["residual"])
    text = str(seen)
    assert all(f"{row.weight} " in text for row in seen.rows)
    assert "of 6 weight matrices 4 learn by the rule (4 blocks), 2 by backpropagation inside a block" in text
    assert repr(seen) == text


def test_what_a_check_needs_is_said():
    """Not a TypeError from inside."""
    with pytest.raises(ValueError, match="Expected `loss`"):
        fa.check(mlp(), "dfa", MLP.batch())
    with pytest.raises(ValueError, match=r"a pair \(x, y\)"):
        fa.check(mlp(), "dfa", MLP.batch()[0], criterion)
    module = Net()
    module.automatic_optimization = False
    with pytest.raises(ValueError, match="manual optimisation"):
        fa.check(module, "dfa", MLP.batch())
