"""Two machines, played by two torchrun agents on the loopback, with one process each, as a process imports PyTorch for 6 s.

Its rank among all is then not that on its machine, which is 0 on both.
"""

import re
import shlex

import pytest

import lightning_fa as fa
from tests.commands import ROOT, Command
from tests.distributed.launch import environment, free_port, read
from tests.distributed.net import alone
from tests.distributed.test_ranks import assert_close

pytestmark = pytest.mark.distributed


def commands(port: int, script: str) -> list[list[str]]:
    """What docs/multi_node.md says to run on each machine, with addresses and numbers that exist here."""
    ours = {"--nproc_per_node": "1", "--master_addr": "127.0.0.1", "--master_port": str(port)}
    found = []
    page = (ROOT / "docs" / "multi_node.md").read_text(encoding="utf-8").partition("**Two machines on one**")[0]
    for line in re.findall(r"^torchrun (.*)$", page, re.MULTILINE):
        *options, name = shlex.split(line, comments=True)
        assert name == "train.py"
        pairs = dict(option.split("=") for option in options)
        assert ours.keys() <= pairs.keys()
        found.append(["-m", "torch.distributed.run"])
        found[-1] += [*(f"{option}={value}" for option, value in (pairs | ours).items()), script]
    return found


def test_two_nodes_equal_one_process(tmp_path):
    """torchrun sets the ranks, Lightning reads them: nothing of ours may stand between, and the commands of the page do it."""
    port, rules = free_port(), [rule for rule in ("dfa", "lafs", "kp", "sg") if rule in fa.RULES]
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys\n"
        "from tests.distributed.jobs import run\n"
        f"run('train', {str(tmp_path)!r}, dict(rules={{'ddp': {rules!r}}}, nodes=2))\n"
    )
    agents = [Command(*command, env=environment()) for command in commands(port, str(script))]
    for agent in agents:
        try:
            agent.wait(200)
        finally:
            agent.kill()
    assert len(agents) == 2
    for rank in range(2):
        (tmp_path / f"log{rank}.txt").write_text("".join(agents[rank].said()))
        for rule, results in read(tmp_path, rank)["ddp"].items():
            assert "error" not in results, results["error"]
            assert_close(results["weights"], alone(rule)["weights"], f"rank {rank}, {rule}: ")
