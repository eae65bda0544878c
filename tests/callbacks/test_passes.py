"""What a monitor records must be what the rule cuts."""

import torch
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.callbacks.passes import blocks_of, recorded


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
