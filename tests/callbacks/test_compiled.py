"""Callbacks on compiled modules."""

import pytest
import torch
from torch import nn

from lightning_fa.callbacks import GradientHealth
from tests.callbacks.net import Net, all_callbacks, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def can_set_compiled_code_aside():
    return hasattr(torch.compiler, "set_stance")


@pytest.mark.filterwarnings("ignore")  # the compiler's own, and what it makes of torchmetrics'
@pytest.mark.skipif(not can_set_compiled_code_aside(), reason="PyTorch before 2.6")
@pytest.mark.parametrize("rule", ["dfa", "fa"])
def test_a_compiled_module_is_measured_like_the_same_module_uncompiled(tmp_path, rule):
    """Compiled code does not see hooks that come later: nothing would be logged, or what an earlier batch left."""
    torch._dynamo.reset()
    plain, compiled = all_callbacks(), all_callbacks()
    # Without dropout, whose masks the compiler draws in another order.
    modules = [Net(), Net()]
    modules[1].load_state_dict(modules[0].state_dict())
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    for module in modules:
        module.net[3] = nn.Identity()
    fit(tmp_path, plain, rule=rule, steps=6, module=modules[0], logger=False)
    fit(tmp_path, compiled, rule=rule, steps=6, module=torch.compile(modules[1], backend=backend), logger=False)
    torch._dynamo.reset()
    assert graphs
    for ours, theirs in zip(compiled, plain):
        assert ours.latest.keys() == theirs.latest.keys()
        assert ours.latest == pytest.approx(theirs.latest, rel=1e-3, abs=1e-3), type(ours)
    assert compiled[0].history.keys() == {0, 3, 6}


@pytest.mark.filterwarnings("ignore")  # the compiler's own, and what it makes of torchmetrics'
def test_a_compiled_module_that_cannot_be_measured_is_refused_before_training_with_the_way_out(tmp_path, monkeypatch):
    """On PyTorch 2.4 and 2.5; a compiled part is as blind as a compiled whole. Health needs no hooks, and works."""
    monkeypatch.delattr(torch.compiler, "set_stance", raising=False)
    whole, part, inside = torch.compile(Net(), backend="eager"), Net(), Net()
    part.net = torch.compile(part.net, backend="eager")
    inside.net[0].compile(backend="eager")
    for module in (whole, part, inside):
        for callback in all_callbacks()[:3]:
            with pytest.raises(Exception, match=f"{type(callback).__name__} adds hooks.*PyTorch 2.6 or newer"):
                fit(tmp_path, [callback], module=module, logger=False, rule=None)
    torch._dynamo.reset()
    fit(tmp_path, [GradientHealth(1)], module=torch.compile(Net(), backend="eager"), logger=False, steps=2)
