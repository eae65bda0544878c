"""What a monitor records must be what the rule cuts."""

from contextlib import nullcontext
from types import SimpleNamespace

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.callbacks.passes import blocks_of, recorded, run
from lightning_fa.wiring.blocks.choice import Block


class Masked(nn.Module):
    """A layer that is called with its mask first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, mask: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.layer(h * mask))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.mid, self.head = nn.Linear(4, 6), Masked(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.low(x))
        return self.head(self.mid(torch.ones(len(x), 6) > 0, h))


class Scorer(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3).double()

    def training_step(self, batch, batch_idx):
        return self.net(batch).square().sum()


def test_what_is_recorded_is_free_of_the_factor_of_mixed_precision():
    """Angles do not show a factor, but whoever reads the signal of a block would take it for a thousand times the error."""
    module, x = Scorer(), torch.randn(2, 4, dtype=torch.float64)
    trainer = SimpleNamespace(
        precision_plugin=SimpleNamespace(
            scaler=torch.amp.GradScaler("cpu", init_scale=1024.0), train_step_context=nullcontext
        ),
        strategy=None,
    )
    seen = run(trainer, module, [Block("net", module.net)], x, 0)
    h = module.net(x)
    torch.testing.assert_close(seen.signals["net"], 2 * h.detach())
    torch.testing.assert_close(seen.updates["net.weight"], 2 * h.detach().T @ x)


def test_a_block_that_is_called_with_its_mask_first_is_recorded_by_what_has_a_gradient():
    """A monitor that took the first tensor would report the angle of a mask."""
    model, x = Net(), torch.randn(2, 4)
    expected = torch.tanh(model.low(x)).detach()
    attached = fa.attach(model, "dfa")
    with recorded(blocks_of(model, attached)) as outputs:
        model(x)
    assert torch.equal(outputs["low"], expected)
    assert outputs["low"].requires_grad
    assert attached.feedback["low"].shape == (6, 3)
    attached.detach()
    for parameter in model.low.parameters():
        parameter.requires_grad_(False)
    with recorded(blocks_of(model, None)) as outputs:
        model(x)
    assert torch.equal(outputs["low"], expected)  # nothing has a gradient, and a mask could have none
