"""Callbacks on compiled modules."""

import pytest
import torch
from torch import nn

from tests.callbacks.net import Net, all_callbacks, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


@pytest.mark.filterwarnings("ignore")  # the compiler's own, and what it makes of torchmetrics'
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
