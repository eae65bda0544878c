"""Processes that `fit` itself starts train by the rule, as in a notebook."""

import torch

from tests.commands import run
from tests.distributed.launch import environment
from tests.problems import assert_same, distance

SCRIPT = """
import sys
import torch
from tests.lightning_net import Net, batches, loader, trainer, weights

if __name__ == "__main__":
    for strategy in sys.argv[2:]:
        module = Net()
        trainer(strategy, devices=2).fit(module, loader(batches()))
        torch.save(weights(module), f"{sys.argv[1]}/{strategy}.pt")
"""
STRATEGIES = ("dfa_ddp_spawn", "dfa_ddp_fork", "ddp_fork")
"""From one script, since a process that is not forked takes seconds to import PyTorch and Lightning."""


def test_spawned_and_forked_processes_train_by_the_rule(tmp_path):
    """Lightning's own `ddp_notebook` trains by backpropagation: ours must not be the same under another name."""
    (script := tmp_path / "train.py").write_text(SCRIPT)
    done = run(script, tmp_path, *STRATEGIES, env=environment())
    for name in STRATEGIES:
        assert (tmp_path / f"{name}.pt").exists(), done.stderr[-3000:]
    spawned, forked, backprop = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in STRATEGIES)
    assert_same(spawned, forked)
    assert distance(spawned["net.0.weight"], backprop["net.0.weight"]) > 1e-2
