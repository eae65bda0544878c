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
