"""Weights that act on the output of the last block: the error at this output would have come back through them."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from tests.cases import rules_that

CUTTING = [rule for rule in rules_that(control=False) if fa.RULES[rule]().cuts and rule != "shallow"]
"""`shallow` freezes all that is not in the head, so that no error comes back through such a matrix."""


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 6)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.second(torch.tanh(self.first(x))))


class Times(Body):
    """A classifier that is a parameter of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(0.1 * torch.randn(6, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x) @ self.w


class Cosine(Times):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * F.linear(F.normalize(self.features(x), dim=1), F.normalize(self.w.t(), dim=1))


class Tied(Body):
    """A decoder with the encoder's weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.features(x), self.first.weight.t())


class Looked(Body):
    """The table of an embedding, as the last layer of a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.first = nn.Embedding(5, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.features(self.table(x)), self.table.weight)


def batch(net: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(5, (8,)) if isinstance(net, Looked) else torch.randn(8, 4), torch.randint(3, (8,))


BEYOND = [(Times, "w"), (Cosine, "w"), (Tied, r"first\.weight"), (Looked, r"table\.weight")]


@pytest.mark.parametrize("rule", CUTTING)
@pytest.mark.parametrize(("build", "name"), BEYOND)
def test_a_matrix_that_acts_on_the_last_block_is_an_error_of_the_dry_run(rule, build, name):
    """Its output is then no head's, and the rule would train the network by weight transport."""
    net = build()
    with pytest.raises(ValueError, match=rf"The weight matrix {name} acts on the output of 'second'"):
        fa.attach(net, rule, example=batch(net)[0])


@pytest.mark.parametrize("rule", ["dfa", "ebd", "lafs", "solo", "sg", "local"])
@pytest.mark.parametrize(("build", "name"), BEYOND)
def test_without_an_example_it_is_an_error_of_the_first_loss(rule, build, name):
    """In a LightningModule, whose own `forward` is not called: its steps join every loss."""

    class Own(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = build()

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Own()
    trainer = Trainer(
        strategy=rule,
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    with pytest.raises(ValueError, match=rf"The weight matrix net\.{name} acts on the output of 'net\.second'"):
        trainer.fit(module, DataLoader(TensorDataset(*batch(module.net)), batch_size=4))


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
@pytest.mark.parametrize("example", [False, True])
def test_the_user_can_say_that_it_learns_by_backpropagation(rule, example):
    """For an embedding whose distances to learned points are scored."""
    net = Cosine()
    x, y = batch(net)
    attached = fa.attach(net, rule, ungoverned=["w"], example=x if example else None)
    attached.targets = y
    attached.loss(F.cross_entropy(net(x), y)).backward()
    assert net.w.grad.any()


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_a_penalty_and_a_temperature_are_no_matrices_that_act(rule):
    """Weight decay in the loss, a learned scale, the network called twice and its outputs compared."""
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    scale = nn.Parameter(torch.ones(3))
    x, y = torch.randn(8, 4), torch.randint(3, (8,))
    attached = fa.attach(net, rule, example=x)
    attached.targets = y
    out = net(x) * scale
    loss = F.cross_entropy(out, y) + (out @ out.t()).mean() + sum(p.square().sum() for p in net.parameters())
    attached.loss(loss).backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_every_loss_is_refused_until_one_passes_whatever_the_dry_run_has_seen(rule):
    """The dry run calls the model's own forward, and a training step may multiply its output."""

    class Beside(Times):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.features(x)

    net = Beside()
    x, y = batch(net)
    attached = fa.attach(net, rule, example=x)
    for _ in range(2):
        attached.targets = y
        with pytest.raises(ValueError, match="The weight matrix w acts on the output of 'second'"):
            attached.loss(F.cross_entropy(net(x) @ net.w, y))
