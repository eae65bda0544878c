"""Several networks in one module, as in reinforcement learning. A rule that would train none, or another one, says so."""

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa

CUTTING = [name for name, kind in fa.RULES.items() if kind().cuts and name != "shallow"]
cutting = pytest.mark.parametrize("rule", CUTTING)
X, Y = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0, 1, 2])


BATCHES = DataLoader(TensorDataset(X, Y), batch_size=2)


def trained(strategy: str) -> L.Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return L.Trainer(strategy=strategy, max_epochs=1, accelerator="cpu", **quiet)


def mlp(outputs: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, outputs))


class Two(nn.Module):
    """Two networks of the same input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = mlp(), mlp()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x)


class Target(Two):
    """The second network is a target network: it is called without gradients, although its weights require them."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            aim = self.second(x)
        return self.first(x) + aim


class Summed(Two):
    """The model returns the sum of its two networks."""

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


class WideAndDeep(Two):
    """One layer beside a deep network."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


class Worded(Two):
    """The second network begins with an embedding, whose output has a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Sequential(nn.Embedding(4, 5), nn.Flatten(), nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second((x[:, :2] > 0).long())


class Stopped(nn.Module):
    """The graph ends on purpose between the two blocks."""

    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(5, 8).requires_grad_(not frozen)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).tanh().detach())


def step(net: nn.Module, rule: str, **settings) -> None:
    attached = fa.attach(net, rule, **settings)
    attached.targets = Y
    out = net(X)
    outs = out if isinstance(out, tuple) else (out,)
    attached.loss(sum(cross_entropy(each, Y) for each in outs)).backward()


@cutting
def test_a_network_that_the_rule_takes_for_the_head_and_that_is_not_called_is_named_at_the_first_loss(rule):
    """All hidden layers of the first network stood still, and a Trainer never saw the pass that had not ended."""
    with pytest.raises(RuntimeError, match=r"'second\.4' was not called before the loss.*`ungoverned`"):
        step(Target(), rule)


def test_what_the_error_advises_trains_the_first_network():
    net = Target()
    step(net, "dfa", ungoverned="second")
    assert all(p.grad.any() for p in net.first.parameters())
    assert all(p.grad is None for p in net.second.parameters())


@pytest.mark.parametrize("automatic", [True, False])
def test_a_trainer_raises_in_the_first_step(automatic):
    class Learner(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.automatic_optimization = Target(), automatic

        def training_step(self, batch, index):
            loss = cross_entropy(self.net(batch[0]), batch[1])
            return loss if automatic else self.manual_backward(loss)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = trained("dfa")
    with pytest.raises(RuntimeError, match="was not called before the loss"):
        trainer.fit(Learner(), BATCHES)
    assert trainer.global_step == 0


@cutting
@pytest.mark.parametrize(
    ("net", "block"), [(Two, r"first\.4"), (Summed, r"first\.4"), (WideAndDeep, "first"), (Worded, r"first\.4")]
)
def test_a_network_whose_output_enters_no_block_is_named(rule, net, block):
    """The hidden layers of the first network were trained by the error of the second."""
    with pytest.raises(ValueError, match=f"No error would reach block '{block}'.*attach a rule to each network"):
        step(net(), rule)


@pytest.mark.parametrize("net", [Two, Summed])
def test_with_an_example_the_error_names_both_heads_and_what_to_do(net):
    with pytest.raises(ValueError, match=r"several heads: what first\.4 .*attach a rule to each network"):
        fa.attach(net(), "dfa", example=X)


@pytest.mark.parametrize("rule", ["dfa", "fa"])
def test_each_of_two_networks_learns_by_the_error_of_its_own_loss(rule):
    """As in an actor and a critic: the networks trained together are the networks trained alone."""
    both, alone = Two(), Two()
    rules = [fa.attach(both.first, rule), fa.attach(both.second, rule, example=X)]
    actor, critic = both(X)
    value = torch.ones_like(critic)
    rules[1].loss(rules[0].loss(cross_entropy(actor, Y) + mse_loss(critic, value))).backward()
    fa.attach(alone.first, rule), fa.attach(alone.second, rule)
    cross_entropy(alone.first(X), Y).backward()
    mse_loss(alone.second(X), value).backward()
    for p, q in zip(both.parameters(), alone.parameters(), strict=True):
        assert p.grad.any()
        assert torch.equal(p.grad, q.grad)


def test_a_lightning_module_holds_two_rules_under_a_stock_strategy():
    class ActorCritic(L.LightningModule):
        def __init__(self, rules: bool) -> None:
            super().__init__()
            self.nets = Two()
            if rules:
                fa.attach(self.nets.first, "dfa")
                fa.attach(self.nets.second, "dfa")

        def training_step(self, batch, index):
            actor, critic = self.nets(batch[0])
            return cross_entropy(actor, batch[1]) + critic.square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    governed, plain, start = ActorCritic(True), ActorCritic(False), Two()
    for module in (governed, plain):
        torch.manual_seed(0)
        trained("auto").fit(module, BATCHES)
    for name, before in start.named_parameters():
        after = governed.nets.get_parameter(name)
        assert not torch.equal(after, before), name
        assert not torch.allclose(after, plain.nets.get_parameter(name), rtol=1e-3), name


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg", "fa", "kp"])
def test_suspended_the_rule_of_a_critic_gives_the_derivative_to_the_actor_below(rule):
    """A policy learns by the derivative of its critic. What a rule sends to the critic's input is something else."""
    nets, plain = Two(), Two()
    actor, critic = nn.Linear(5, 5), nets.second
    attached = fa.attach(critic, rule, example=X)
    with attached.suspended():
        value = critic(actor(X)).square().mean()
    value.backward()
    (expected,) = torch.autograd.grad(plain.second(actor(X)).square().mean(), actor.weight)
    assert torch.equal(actor.weight.grad, expected)
    attached.targets = Y
    (sent,) = torch.autograd.grad(attached.loss(critic(actor(X)).square().mean()), actor.weight, allow_unused=True)
    assert sent is None or not torch.allclose(sent, expected)  # the rule is on again


@cutting
def test_a_block_behind_which_the_graph_ends_is_named(rule):
    """The table said that it learns by the rule."""
    with pytest.raises(ValueError, match=r"No error would reach block 'body'.*without a graph"):
        step(Stopped(), rule)


@pytest.mark.parametrize("example", [None, X])
def test_a_block_that_is_not_to_learn_may_stand_behind_the_end_of_the_graph(example):
    for net, left in ((Stopped(), "body"), (Stopped(frozen=True), ())):
        step(net, "dfa", ungoverned=left, example=example)
        assert net.head.weight.grad.any()
        assert net.body.weight.grad is None


@pytest.mark.parametrize("rule", ["fa", "kp", "usf", "wm"])
def test_a_transport_rule_that_enters_no_layer_says_so(rule):
    """It was an IndexError."""
    net = nn.Sequential(nn.Embedding(5, 3))
    with pytest.raises(ValueError, match="No layer passes an error down"):
        fa.attach(net, rule)
    fa.attach(net, "bp")  # the control accepts every module, and the refused rule left none behind
