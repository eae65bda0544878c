"""PreAlignment: after it, backpropagation delivers what direct feedback does; and it happens once."""

import pytest
import torch
import torch.nn.functional as F
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor, PreAlignment

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


class Net(LightningModule):
    def __init__(self, body=None):
        super().__init__()
        torch.manual_seed(0)
        self.body = body or nn.Sequential(
            nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Dropout(0.2), nn.Linear(30, 3)
        )

        self.seen = []

    def training_step(self, batch, index):
        if isinstance(self.body[2], nn.Linear):
            self.seen.append(self.body[2].weight.detach().clone())
        return F.cross_entropy(self.body(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def batches():
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 6, generator=random), torch.randint(3, (16,), generator=random)
    return DataLoader(TensorDataset(x, y), batch_size=8)


def fit(tmp_path, callbacks, rule="dfa", module=None, steps=1, accumulate_grad_batches=1, **kwargs):
    module = module or Net()
    trainer = Trainer(
        accumulate_grad_batches=accumulate_grad_batches,
        max_steps=steps,
        accelerator="cpu",
        strategy=fa.FeedbackStrategy(rule),
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, batches(), **kwargs)
    return module, trainer


def test_backpropagation_then_delivers_what_the_rule_delivers(tmp_path):
    """W^T delta = B e is solvable for 8 samples; only f' and dropout, behind which weights change, move a little."""
    plain, aligned = AlignmentMonitor([0], figures=False), AlignmentMonitor([0], figures=False)
    fit(tmp_path, [plain])
    fit(tmp_path, [PreAlignment(), aligned])
    for block in ("body.0", "body.2"):
        assert abs(plain.history[0][f"align/{block}/cosine"]) < 0.5
        assert aligned.history[0][f"align/{block}/cosine"] > 0.99


def test_the_head_becomes_the_feedback_itself(tmp_path):
    """With D = e B^T and delta = e, W^T is B on the span of e, whose components sum to zero under cross-entropy."""
    module = Net()
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
    _, trainer = fit(tmp_path, [PreAlignment()], module=module)
    B = trainer.strategy.attached.feedback["body.2"]
    expected = B.T - B.T.mean(0)
    torch.testing.assert_close(module.body[5].weight.detach(), expected / expected.norm(), rtol=1e-4, atol=1e-5)
    assert module.body[2].weight.norm().item() == pytest.approx(1, abs=1e-5)


def test_the_first_block_and_all_biases_stay(tmp_path):
    module = Net()
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    fit(tmp_path, [PreAlignment()], module=module)
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"body.2.weight", "body.5.weight"}


def test_it_happens_once(tmp_path):
    aligned = PreAlignment()
    module, trainer = fit(tmp_path, [aligned], steps=2)  # an epoch
    path = tmp_path / "model.ckpt"
    trainer.save_checkpoint(path)
    resumed = PreAlignment()
    continued, _ = fit(tmp_path, [resumed], module=Net(), steps=3, ckpt_path=path)
    assert resumed.done
    # one step moves the weights a little, a new alignment would give them another batch's directions
    for name, p in continued.named_parameters():
        moved = (p - module.get_parameter(name)).norm() / p.norm()
        assert moved < 0.2, name


def test_it_happens_once_where_several_batches_make_a_step(tmp_path):
    module = Net()
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
    fit(tmp_path, [PreAlignment()], module=module, accumulate_grad_batches=2)
    first, second = module.seen  # neither the drawn weights nor those of the pass that aligns
    assert first.norm().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(first, second)


def test_other_rules_and_other_layers_are_refused(tmp_path):
    with pytest.raises(MisconfigurationException, match="FeedbackAlignment"):
        fit(tmp_path, [PreAlignment()], rule="fa")
    conv = nn.Sequential(
        nn.Unflatten(1, (1, 6)),
        nn.Conv1d(1, 4, 3),
        nn.Tanh(),
        nn.Conv1d(4, 4, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    with pytest.raises(MisconfigurationException, match="begins with Conv1d"):
        fit(tmp_path, [PreAlignment()], module=Net(conv))


class Normalised(nn.Module):
    """Its Linear reads what another layer has made of the block's input."""

    def __init__(self, between):
        super().__init__()
        self.between, self.linear = between, nn.Linear(40, 30)

    def forward(self, x):
        return self.linear(self.between(x)).tanh()


class Reversed(nn.Module):
    """Its layers are registered in another order than they are called in."""

    def __init__(self):
        super().__init__()
        self.second, self.first = nn.Linear(25, 30), nn.Linear(40, 25)

    def forward(self, x):
        return self.second(self.first(x).tanh()).tanh()


class Whole(Net):
    """Of three named blocks; it does not learn, so that the weights stay as they were aligned."""

    def __init__(self, middle):
        super().__init__(nn.Sequential(nn.Linear(6, 40), nn.Tanh(), middle, nn.Linear(30, 3)))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def align(tmp_path, module):
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        strategy=fa.FeedbackStrategy("dfa", blocks=["body.0", "body.2", "body.3"]),
        callbacks=[PreAlignment()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, batches())
    return trainer.strategy.attached


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (nn.BatchNorm1d(40), "begins with BatchNorm1d"),
        (nn.BatchNorm1d(40, affine=False), "something in between has changed"),
        (nn.ReLU(inplace=True), "something in between has changed"),
    ],
)
def test_a_linear_that_does_not_read_the_blocks_input_is_refused(tmp_path, between, message):
    """The weight was solved for errors at another place, without a word."""
    module = Whole(Normalised(between))
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.raises(MisconfigurationException, match=message):
        align(tmp_path, module)
    assert all(torch.equal(p, was) for p, was in zip(module.parameters(), before))


def test_the_layer_that_is_called_first_is_aligned(tmp_path):
    """It was the layer that was registered first."""
    module = Whole(Reversed())
    second = module.body[2].second.weight.detach().clone()
    align(tmp_path, module)
    assert torch.equal(module.body[2].second.weight, second)
    assert module.body[2].first.weight.norm().item() == pytest.approx(1, abs=1e-5)


def test_every_position_of_a_sequence_is_a_sample(tmp_path):
    """By hand, W^T = D pinv(delta) over all positions. It was an error of sizes."""

    class PerPosition(Whole):
        def training_step(self, batch, index):
            out = self.body(batch[0].reshape(4, 2, 6))
            return F.cross_entropy(out.flatten(0, 1), batch[1])

    module = PerPosition(nn.Sequential(nn.Linear(40, 30), nn.Tanh()))
    found = {name: p.detach().clone().double() for name, p in module.named_parameters()}
    B = {name: feedback.detach().double() for name, feedback in align(tmp_path, module).feedback.items()}
    x, y = next(iter(batches()))
    h1 = torch.tanh(x.double() @ found["body.0.weight"].T + found["body.0.bias"])
    h2 = torch.tanh(h1 @ found["body.2.0.weight"].T + found["body.2.0.bias"])
    e = ((h2 @ found["body.3.weight"].T + found["body.3.bias"]).softmax(1) - F.one_hot(y, 3)) / 8
    delta = (e @ B["body.2"].T) * (1 - h2**2)
    for weight, delivered, error in (
        (module.body[2][0].weight, e @ B["body.0"].T, delta),
        (module.body[3].weight, e @ B["body.2"].T, e),
    ):
        expected = (torch.linalg.pinv(error, rtol=1e-6) @ delivered).float()
        torch.testing.assert_close(weight.detach(), expected / expected.norm(), rtol=1e-3, atol=1e-4)
