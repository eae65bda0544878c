"""A user's hooks on parameters, where gradients are computed in the forward pass."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from lightning_fa.wiring.passes import settling
from tests.cases import attach
from tests.problems import read


def gradients(rule: str, hook=None):
    """Of a small network."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = torch.randn(256, 6), torch.randint(3, (256,))
    attached = attach(model, rule, example=x[:2])
    attached._wiring.step.settles = "always"
    for p in model.parameters():
        if hook is not None:
            p.register_hook(hook)
    attached.targets = y
    (8 * attached.loss(F.cross_entropy(model(x), y))).backward()
    return read(model)


@pytest.mark.parametrize("rule", [rule for rule in ("lafs", "local", "drtp", "sg") if rule in fa.RULES])
def test_a_hook_that_scales_a_gradient_scales_it_once(rule, monkeypatch):
    """Clipping twice is clipping: a hook that runs where the gradient is computed and where it arrives shows in a factor only."""
    computed = []
    monkeypatch.setattr(settling, "_gradients", lambda *args, own=settling._gradients: computed.append(1) or own(*args))
    calls = []
    scaled = gradients(rule, lambda g: calls.append(1) or 3 * g)
    assert computed  # in the forward pass
    expected = gradients(rule)
    assert len(calls) == len(expected)
    for name, g in expected.items():
        assert torch.equal(scaled[name], 3 * g), name
