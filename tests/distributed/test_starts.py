"""Processes that `fit` itself starts train by the rule, as in a notebook."""

import subprocess
import sys

import torch

from tests.distributed.launch import ROOT, environment
from tests.problems import assert_same, distance

SCRIPT = """
import sys
import torch
from tests.lightning_net import Net, batches, loader, trainer, weights

if __name__ == "__main__":
    module = Net()
    trainer(sys.argv[1], devices=2).fit(module, loader(batches()))
    torch.save(weights(module), sys.argv[2])
"""


def fitted(folder, strategy):
    script, out = folder / "train.py", folder / f"{strategy}.pt"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), strategy, str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=300, check=False
    )
    assert out.exists(), done.stderr[-3000:]
    return torch.load(out, weights_only=True)


def test_spawned_and_forked_processes_train_by_the_rule(tmp_path):
    """Lightning's own `ddp_notebook` trains by backpropagation: ours must not be the same under another name."""
    spawned, forked, backprop = (fitted(tmp_path, name) for name in ("dfa_ddp_spawn", "dfa_ddp_fork", "ddp_spawn"))
    assert_same(spawned, forked)
    assert distance(spawned["net.0.weight"], backprop["net.0.weight"]) > 1e-2
