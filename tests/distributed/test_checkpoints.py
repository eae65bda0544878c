"""Checkpoint and resume on every strategy, bit by bit, with Adam, whose state has to come back as well."""

import random
import runpy
import sys
from unittest import mock

import pytest
import torch

import lightning_fa as fa
from tests.cases import MECHANISMS
from tests.distributed.jobs import other_seed
from tests.distributed.launch import launch, start
from tests.distributed.net import Net

pytestmark = pytest.mark.distributed

CONSOLIDATE = {
    "fsdp_sharded": "lightning.pytorch.utilities.consolidate_checkpoint",
    "fsdp2_sharded": "lightning.fabric.utilities.consolidate_checkpoint",  # the other renames what only FSDP saves
}
"""Lightning's own commands that make one file of a folder of shards."""

RULES = {"single": list(fa.RULES)}
RULES |= dict.fromkeys(("ddp", "fsdp", "fsdp_sharded", "fsdp2", "fsdp2_sharded"), MECHANISMS)
"""Strategy -> rules. Replicas and shards depend on where feedback is kept, and not on what is done with it."""


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    return folder, launch("resume", folder, 1, rules={"single": RULES["single"]})


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    return folder, launch("resume", folder, 2, rules={kind: RULES[kind] for kind in RULES if kind != "single"})


@pytest.fixture(params=[(kind, rule) for kind, rules in RULES.items() for rule in rules], ids="-".join)
def resumed(request):
    """Strategy, rule, the folder of the checkpoints, and what each rank says."""
    kind, rule = request.param
    folder, results = request.getfixturevalue("single" if kind == "single" else "several")
    for r in results:
        assert "error" not in r[kind][rule], r[kind][rule]["error"]
    return kind, rule, folder, [r[kind][rule] for r in results]


def test_a_resumed_run_continues_bit_by_bit(resumed):
    """A run that is resumed on a cluster every hour must be the run that the paper describes."""
    for results in resumed[3]:
        whole, again = results["whole"], results["resumed"]
        for ours, theirs in (
            (again["weights"], whole["weights"]),
            (again["feedback"]["feedback"], whole["feedback"]["feedback"]),
        ):
            assert ours.keys() == theirs.keys()
            for name in theirs:
                assert torch.equal(ours[name], theirs[name]), name


def test_a_checkpoint_of_another_seed_or_rule_is_refused(resumed):
    """The message says what differs, also where FSDP loads weights before anyone can look at the rest."""
    _, rule, _, ranks = resumed
    differs = (
        "seed: checkpoint 0, here 5"
        if hasattr(other_seed(rule), "seed") and "seed" in vars(fa.RULES[rule]())
        else "rule: "
    )
    for results in ranks:
        assert differs in results["refusal"]


def one_file(kind, path, folder):
    """A checkpoint as one file: where the strategy has written a folder of shards, as Lightning's command joins them."""
    if kind not in CONSOLIDATE:
        return path
    file = folder / "whole.ckpt"
    argv = [CONSOLIDATE[kind], str(path), "--output_file", str(file)]
    with mock.patch.object(sys, "argv", argv), mock.patch.dict(sys.modules):
        sys.modules.pop(CONSOLIDATE[kind], None)  # one of these commands imports the other
        runpy.run_module(CONSOLIDATE[kind], run_name="__main__")
    return file


def test_a_checkpoint_loads_into_the_plain_module(resumed, tmp_path):
    """Weights trained under a rule are weights like any other: nobody should need this library to use them."""
    kind, rule, folder, results = resumed
    file, net = one_file(kind, folder / f"{kind}_{rule}.ckpt", tmp_path), Net()
    checkpoint = torch.load(file, weights_only=True)
    net.load_state_dict(checkpoint["state_dict"], strict=True)
    assert checkpoint["lightning_fa"]["config"]["rule"] == fa.RULES[rule].__name__
    for loaded in (net, Net.load_from_checkpoint(file, weights_only=True)):
        for name, weight in loaded.state_dict().items():
            for of_rank in results:
                assert torch.equal(weight, of_rank["saved"][name]), name


KILLED = [("single", "sg"), ("ddp", "dfa"), ("fsdp", "kp"), ("fsdp2", "dfa"), ("fsdp2", "kp")]
"""Every strategy; a fixed rule and one that learns its feedback, which shards keep in different ways."""


@pytest.mark.parametrize(("kind", "rule"), KILLED)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(kind, rule, tmp_path):
    """Kill -9 at a random moment: what is lost may be time, and nothing else."""
    (undisturbed := tmp_path / "undisturbed").mkdir()
    (killed := tmp_path / "killed").mkdir()
    steps = 24 if kind.startswith("fsdp") else 50  # of a tenth of a second, or a fiftieth
    rng, reached, done = random.Random(1), [0], killed / "last.reached"
    world, run_of = 1 if kind == "single" else 2, {"kind": kind, "rule": rule, "steps": steps}
    expected = launch("long_run", undisturbed, world, **run_of, pause=0)

    def step() -> int:
        return int(("0 " + done.read_text()).split()[-1]) if done.exists() else 0

    for _ in range(3):
        # A step, its checkpoint and the pause take about as long, so that each of them is hit now and then.
        with start("long_run", killed, world, **run_of, pause=0.01) as run:
            run.until(lambda: step() >= reached[-1] + 3)
            run.kill(after=rng.uniform(0, 0.05))
        reached.append(step())
    assert reached[-1] < steps  # it was killed, three times, and not too late
    for ours, theirs in zip(launch("long_run", killed, world, **run_of, pause=0), expected):
        assert ours["weights"].keys() == theirs["weights"].keys()
        assert all(torch.equal(ours["weights"][n], theirs["weights"][n]) for n in theirs["weights"])
        assert all(torch.equal(b, theirs["feedback"]["feedback"][n]) for n, b in ours["feedback"]["feedback"].items())
    assert step() == steps
