"""A further loss on the output of a block trains this block by its true gradient, and no block below."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from tests.problems import distance, read

RULES = {
    **{name: name for name in ("dfa", "dfa_sign", "dfa_sparse", "dkp", "ebd", "kickback", "drtp")},
    "lafs": fa.LinearAlignedFeedback(loss="mse"),
    "solo": fa.SharedOutputLocalLearning(loss="mse"),
}


class Auto(nn.Module):
    """A variational autoencoder as textbooks write it: the two layers that read one are blocks of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh())
        self.mean, self.spread = nn.Linear(6, 2), nn.Linear(6, 2)
        self.decode = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        mean, spread = self.mean(h), self.spread(h)
        noise = torch.linspace(-1, 1, mean.numel(), dtype=mean.dtype).reshape(mean.shape)
        return self.decode(mean + noise * torch.exp(spread / 2)), mean, spread


class Gated(Auto):
    """Two outputs of blocks enter the last block as arguments of its own, one of them by name."""

    def __init__(self) -> None:
        super().__init__()
        self.decode = Mixed()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        mean, spread = self.mean(h), self.spread(h)
        return self.decode([mean.relu_()], spread=spread), mean, spread


class Mixed(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)

    def forward(self, mean: list[Tensor], spread: Tensor) -> Tensor:
        return super().forward(torch.cat([*mean, spread], 1))


class Normed(Auto):
    """A layer with parameters lies between the two blocks and the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        mean, spread = self.mean(h), self.spread(h)
        return self.decode(self.norm(mean * spread)), mean, spread


def divergence(mean: Tensor, spread: Tensor) -> Tensor:
    return -0.5 * (1 + spread - mean.square() - spread.exp()).sum(1).mean()


def prepared(net: type[nn.Module], rule: str | fa.Rule) -> tuple[nn.Module, Tensor, fa.Attached]:
    torch.manual_seed(3)
    model, x = net().double(), torch.randn(5, 4).double()
    return model, x, fa.attach(model, rule, example=x)


def gradients(model: nn.Module, attached: fa.Attached, x: Tensor, weight: float) -> dict[str, Tensor]:
    """Of the error of the reconstruction and ``weight`` times the divergence."""
    attached.targets = x
    out, mean, spread = model(x)
    model.zero_grad()
    attached.loss(F.mse_loss(out, x) + weight * divergence(mean, spread)).backward()
    return read(model)


def added(model: nn.Module, attached: fa.Attached, x: Tensor) -> dict[str, Tensor]:
    """What the divergence adds to the gradients."""
    without, both = (gradients(model, attached, x, weight) for weight in (0.0, 1.0))
    return {name: both[name] - without[name] for name in both if "_feedback" not in name}


def expected(plain: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The true gradient of the divergence if what the two layers read is fixed."""
    h = plain.encode(x).detach()
    mean = plain.mean(h).relu() if isinstance(plain, Gated) else plain.mean(h)
    plain.zero_grad()
    divergence(mean, plain.spread(h)).backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in plain.named_parameters()}


@pytest.mark.parametrize("net", [Auto, Gated])
@pytest.mark.parametrize("rule", RULES)
def test_the_divergence_of_a_variational_autoencoder_trains_the_two_layers_alone(rule, net):
    """It was without effect: the network trained as a plain autoencoder with noise."""
    model, x, attached = prepared(net, RULES[rule])
    found = added(model, attached, x)
    attached.detach()
    true = expected(model, x)
    assert found.keys() == true.keys()
    for name, g in found.items():
        assert distance(g, true[name]) < 1e-10 if true[name].any() else g.abs().max() < 1e-15
    assert all(found[f"{layer}.weight"].norm() > 0.01 for layer in ("mean", "spread"))


def test_under_synthetic_gradients_it_counts_in_the_error_that_the_predictors_learn():
    """The prediction of dL/dh is then also that of the further loss."""
    model, x, attached = prepared(Auto, "sg")
    without, both = (gradients(model, attached, x, weight) for weight in (0.0, 1.0))
    plain, _, reference = prepared(Auto, "bp")
    h = plain.encode(x).detach()
    mean, spread = plain.mean(h), plain.spread(h)
    mean.retain_grad()
    divergence(mean, spread).backward()
    reference.detach()
    # with predictions of zero the bias of a predictor learns by minus the mean of the errors, scaled by its loss
    constant = next(name for name in both if name.startswith("mean") and name.endswith("_C"))
    change = both[constant] - without[constant]
    assert torch.cosine_similarity(change, -mean.grad.mean(0), 0) > 1 - 1e-9


def test_parameters_between_blocks_keep_their_error():
    """The graph there is theirs, so that the two blocks are cut at their own outputs, and a further loss does not reach them."""
    model, x, attached = prepared(Normed, "dfa")
    found = gradients(model, attached, x, 1.0)
    b = attached.feedback["decode.0"]
    attached.detach()
    model.zero_grad()
    h = model.encode(x)
    z = model.decode[:2](model.norm((model.mean(h) * model.spread(h)).detach()))
    out = model.decode[2](z.detach())
    out.retain_grad()
    F.mse_loss(out, x).backward()
    z.backward(out.grad @ b.T)
    for name in ("norm.weight", "norm.bias", "decode.0.weight"):
        assert distance(found[name], model.get_parameter(name).grad) < 1e-12


@pytest.mark.parametrize("rule", ["dfa", "lafs"])
def test_compiled(rule):
    model, x, attached = prepared(Auto, RULES[rule])
    eager = gradients(model, attached, x, 1.0)
    model.compile(backend="aot_eager", fullgraph=True)
    compiled = gradients(model, attached, x, 1.0)
    assert all(distance(compiled[name], g) < 1e-12 for name, g in eager.items())


def test_recomputed_in_an_activation_checkpoint():
    model, x, attached = prepared(Auto, "dfa")
    plain = gradients(model, attached, x, 1.0)
    forward = model.forward
    model.forward = lambda x: checkpoint(forward, x, use_reentrant=False)
    assert all(distance(gradients(model, attached, x, 1.0)[name], g) < 1e-12 for name, g in plain.items())


class Training(LightningModule):
    def __init__(self, weight: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net, self.weight, self.example_input_array = Auto(), weight, torch.randn(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]

    def training_step(self, batch: list[Tensor]) -> Tensor:
        out, mean, spread = self.net(batch[0])
        return F.mse_loss(out, batch[0]) + self.weight * divergence(mean, spread)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_in_an_unmodified_lightning_module(tmp_path):
    """A large weight draws the posterior to the prior; without it the divergence stays."""
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for weight in (0.0, 10.0):
        module = Training(weight)
        trainer = Trainer(
            strategy=fa.FeedbackStrategy("dfa"), max_epochs=30, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(module, DataLoader(TensorDataset(x), batch_size=16))
        with torch.no_grad():
            found.append(float(divergence(*module.net(x)[1:])))
    assert found[1] < 0.1 * found[0]
