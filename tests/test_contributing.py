"""The rule that CONTRIBUTING.md shows is a rule."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


@pytest.fixture
def ternary(monkeypatch):
    """The class, from a module made of the code block."""
    module = types.ModuleType("ternary")
    monkeypatch.setitem(sys.modules, "ternary", module)
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1), module.__dict__)
    return module.TernaryDirectFeedbackAlignment


def test_the_shown_rule_delivers_what_its_formula_says(ternary):
    """A guide whose example is wrong teaches the error."""
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, y = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4), torch.tensor([0, 1, 2, 0, 1])
    attached = fa.attach(net, ternary(seed=3, threshold=0.5))
    logits = net(x)
    (1000 * attached.loss(F.cross_entropy(logits, y))).backward()
    e = (torch.softmax(logits, 1) - F.one_hot(y)).detach() / 5
    t = torch.sign(e) * (e.abs() > 0.5 * e.abs().amax(1, keepdim=True))
    h = torch.tanh(x @ net[0].weight.T + net[0].bias).detach()
    delta = 1000 * (t @ attached.feedback["0"].T) * (1 - h**2)
    torch.testing.assert_close(net[0].weight.grad, delta.T @ x)


def test_the_guide_stays_short():
    """House rule: less than 100 lines with the example."""
    assert len(TEXT.splitlines()) < 110
