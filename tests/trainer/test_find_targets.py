"""Where the targets are: a wrong place is an error that lists the right ones."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

import lightning_fa as fa
from lightning_fa.training_step import find_targets
from tests.problems import assert_close, read

BATCH = {"image": torch.zeros(2, 3), "class": torch.zeros(2)}


@pytest.mark.parametrize(
    ("batch", "where", "message"),
    [
        (BATCH, "clas", r"no targets at 'clas'.*keys \['image', 'class'\]"),
        ((1, 2), 5, "no targets at 5.*a tuple of 2 items"),
        ((1, 2), "y", "no targets at 'y'.*a tuple of 2 items"),
        (torch.zeros(2), "y", "no targets at 'y'.*a Tensor"),
        (BATCH | {"name": "a"}, "name", "a tensor at 'name'.*a str"),
        (BATCH, lambda batch: None, "function given as `targets=` returned a NoneType"),
        (BATCH, lambda batch: [1, 2], "returned a list of 2 items"),
        (BATCH, None, "batch of type dict"),
    ],
)
def test_a_wrong_place_is_named_with_what_is_there(batch, where, message):
    """`KeyError: 'clas'` says neither who asked nor what there is."""
    with pytest.raises(ValueError, match=message):
        find_targets(batch, where)


def test_a_right_place_is_found():
    """The tests above would pass if everything raised."""
    assert find_targets(BATCH, "class") is BATCH["class"]
    assert find_targets(BATCH, lambda batch: batch["class"]) is BATCH["class"]
    assert find_targets([0, BATCH["class"]]) is BATCH["class"]


class Mixing(LightningModule):
    """Mixes samples and labels, as mixup does, and tells the rule the labels of the mixture."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))

    def training_step(self, batch, _):
        x, y = batch[0], F.one_hot(batch[1], 3).float()
        x, y = 0.7 * x + 0.3 * x.flip(0), 0.7 * y + 0.3 * y.flip(0)
        self.trainer.strategy.attached.targets = y
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_labels_that_the_step_has_mixed_reach_the_blocks():
    """Local losses of the batch's own labels would teach hidden blocks another task than the head's."""
    torch.manual_seed(0)
    module, x, labels = Mixing(), torch.randn(8, 6), torch.randint(3, (8,))
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    Trainer(strategy="lafs", accelerator="cpu", max_epochs=1, **dict.fromkeys(quiet, False)).fit(
        module, DataLoader([(x, labels)], batch_size=None)
    )
    ours, plain = read(module.net), nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    plain.load_state_dict(module.net.state_dict())
    y = 0.7 * F.one_hot(labels, 3).float() + 0.3 * F.one_hot(labels, 3).float().flip(0)
    x = 0.7 * x + 0.3 * x.flip(0)
    B = fa.attach(module, "lafs").feedback["net.0"]
    h = plain[1](plain[0](x))
    (F.cross_entropy(h @ B, y) + F.cross_entropy(plain[2](h.detach()), y)).backward()
    assert_close(ours, read(plain), torch.finfo(torch.float32).eps)
