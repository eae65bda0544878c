"""Callbacks on compiled modules."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.callbacks.net import Net, all_callbacks, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


class Compilable(Net):
    """Without what dynamo would compile anew for every batch: counters, a metric that counts, dropout's masks."""

    def __init__(self):
        super().__init__()
        self.net[3] = nn.Identity()

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0]), batch[1])


@pytest.mark.filterwarnings("ignore")  # the compiler's own, and what it makes of torchmetrics'
@pytest.mark.parametrize("rule", ["dfa", "fa"])
def test_a_compiled_module_is_measured_like_the_same_module_uncompiled(tmp_path, rule):
    """Compiled code does not see hooks that come later: nothing would be logged, or what an earlier batch left."""
    torch._dynamo.reset()
    plain, compiled = all_callbacks(), all_callbacks()
    modules = [Compilable(), Compilable()]
    modules[1].load_state_dict(modules[0].state_dict())
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    fit(tmp_path, plain, rule=rule, steps=6, module=modules[0], logger=False)
    fit(tmp_path, compiled, rule=rule, steps=6, module=torch.compile(modules[1], backend=backend), logger=False)
    torch._dynamo.reset()
    assert graphs
    for ours, theirs in zip(compiled, plain):
        assert ours.latest.keys() == theirs.latest.keys()
        assert ours.latest == pytest.approx(theirs.latest, rel=1e-3, abs=1e-3), type(ours)
    assert compiled[0].history.keys() == {0, 3, 6}
