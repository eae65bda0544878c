"""Two machines, played by two torchrun agents on the loopback, with two processes each."""

import subprocess
import sys

import pytest

import lightning_fa as fa
from tests.distributed.launch import ROOT, environment, free_port, read
from tests.distributed.net import alone
from tests.distributed.test_ranks import assert_close

pytestmark = pytest.mark.distributed


def test_two_nodes_equal_one_process(tmp_path):
    """torchrun sets the ranks, Lightning reads them: nothing of ours may stand between."""
    port, rules = free_port(), [rule for rule in ("dfa", "lafs", "kp", "sg") if rule in fa.RULES]
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys\n"
        "from tests.distributed.jobs import run\n"
        f"run('train', {str(tmp_path)!r}, dict(kinds=['ddp'], rules={rules!r}, nodes=2))\n"
    )
    agents = []
    for node in (0, 1):
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={node}"]
        command += ["--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}", str(script)]
        with (tmp_path / f"agent{node}.txt").open("w") as log:
            agents.append(subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT))
    for agent in agents:
        try:
            agent.wait(200)
        finally:
            agent.kill()
    for rank in range(4):
        (tmp_path / f"log{rank}.txt").write_text((tmp_path / f"agent{rank // 2}.txt").read_text())
        for rule, results in read(tmp_path, rank)["ddp"].items():
            assert "error" not in results, results["error"]
            assert_close(results["weights"], alone(rule)["weights"], f"rank {rank}, {rule}: ")
