"""Callbacks on several ranks."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from lightning.pytorch import Trainer
import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from tests.callbacks.net import Net, data
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

folder, monitored, ranks = sys.argv[1], sys.argv[2] == "1", int(sys.argv[3])
torch.manual_seed(0)
module = Net()
module.net[3] = torch.nn.Identity()
module.net[1] = torch.nn.Identity()
monitor = AlignmentMonitor(2)
dataset = TensorDataset(*data()[1])
sampler = DistributedSampler(dataset, ranks, int(os.environ.get("LOCAL_RANK", 0)), shuffle=False)
loader = DataLoader(dataset, batch_size=16 // ranks, sampler=sampler)
strategy = fa.DDPFeedbackStrategy("lafs", process_group_backend="gloo") if ranks > 1 else fa.FeedbackStrategy("lafs")
trainer = Trainer(
    max_steps=3, accelerator="cpu", devices=ranks, strategy=strategy, logger=False, enable_progress_bar=False,
    use_distributed_sampler=False, enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
    callbacks=[monitor] if monitored else [],
)
trainer.fit(module, loader)
if trainer.is_global_zero:
    weights = {n: t.tolist() for n, t in module.state_dict().items() if n.startswith("net.")}
    with open(f"{folder}/{int(monitored)}-{ranks}.json", "w") as file:
        json.dump({"weights": weights, "history": monitor.history}, file)
"""


def ranks_of(tmp_path, monitored, ranks):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path), str(int(monitored)), str(ranks)]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "MASTER_PORT": str(free_port())}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    result = tmp_path / f"{int(monitored)}-{ranks}.json"
    # Gloo sometimes aborts while the interpreter ends: judge by what was written.
    assert result.exists(), done.stderr[-3000:]
    return json.loads(result.read_text())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.distributed
def test_two_ranks_log_the_mean_over_the_samples_of_both_and_train_as_without(tmp_path):
    """The first batch of both ranks together is one batch of a single rank (its samples interleaved by the sampler)."""
    watched, plain = ranks_of(tmp_path, True, 2), ranks_of(tmp_path, False, 2)
    assert watched["weights"] == plain["weights"]
    one = ranks_of(tmp_path, True, 1)
    first, single = watched["history"]["0"], one["history"]["0"]
    assert first.keys() == single.keys()
    for name in single:
        if "update" not in name:  # the angle of the mean gradient is not the mean of the ranks' angles
            assert first[name] == pytest.approx(single[name], abs=1e-3), name
