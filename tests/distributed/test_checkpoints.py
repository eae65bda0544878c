"""Checkpoint and resume on every strategy, bit by bit, with Adam, whose state has to come back as well."""

import random

import pytest
import torch
import torch.distributed.checkpoint as dcp

import lightning_fa as fa
from tests.distributed.jobs import other_seed
from tests.distributed.launch import launch, start
from tests.distributed.net import Net

pytestmark = pytest.mark.distributed

KINDS = ["single", "ddp", "fsdp", "fsdp_sharded", "fsdp2", "fsdp2_sharded"]

every_rule = pytest.mark.parametrize("rule", fa.RULES)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    return folder, launch("resume", folder, 1, kinds=["single"], rules=list(fa.RULES))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    return folder, launch("resume", folder, 2, kinds=KINDS[1:], rules=list(fa.RULES))


@pytest.fixture(params=KINDS)
def resumed(request):
    folder, results = request.getfixturevalue("single" if request.param == "single" else "several")
    return request.param, folder, [r[request.param] for r in results]


@every_rule
def test_a_resumed_run_continues_bit_by_bit(resumed, rule):
    """A run that is resumed on a cluster every hour must be the run that the paper describes."""
    for results in resumed[2]:
        assert "error" not in results[rule], results[rule]["error"]
        whole, again = results[rule]["whole"], results[rule]["resumed"]
        for ours, theirs in (
            (again["weights"], whole["weights"]),
            (again["feedback"]["feedback"], whole["feedback"]["feedback"]),
        ):
            assert ours.keys() == theirs.keys()
            for name in theirs:
                assert torch.equal(ours[name], theirs[name]), name


@every_rule
def test_a_checkpoint_of_another_seed_or_rule_is_refused(resumed, rule):
    """The message says what differs, also where FSDP loads weights before anyone can look at the rest."""
    differs = (
        "seed: checkpoint 0, here 5"
        if hasattr(other_seed(rule), "seed") and "seed" in vars(fa.RULES[rule]())
        else "rule: "
    )
    for results in resumed[2]:
        assert "error" not in results[rule], results[rule]["error"]
        assert differs in results[rule]["refusal"]


@every_rule
def test_a_checkpoint_loads_into_the_plain_module(resumed, rule):
    """Weights trained under a rule are weights like any other: nobody should need this library to use them."""
    kind, folder, _ = resumed
    path, net = folder / f"{kind}_{rule}.ckpt", Net()
    if kind.endswith("sharded"):
        key = "model" if kind == "fsdp_sharded" else "state_dict"
        saved = {n for n in dcp.FileSystemReader(path).read_metadata().state_dict_metadata if n.startswith(f"{key}.")}
        assert saved == {f"{key}.{name}" for name in net.state_dict()}
        return
    checkpoint = torch.load(path, weights_only=True)
    net.load_state_dict(checkpoint["state_dict"], strict=True)
    assert checkpoint["lightning_fa"]["config"]["rule"] == fa.RULES[rule].__name__
    loaded = Net.load_from_checkpoint(path, weights_only=True)
    assert all(torch.equal(w, net.state_dict()[n]) for n, w in loaded.state_dict().items())


@pytest.mark.parametrize(("rule", "world"), [("dfa", 1), ("lafs", 1), ("kp", 1), ("sg", 1), ("dfa", 2)])
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(rule, world, tmp_path):
    """Kill -9 at a random moment: what is lost may be time, and nothing else."""
    (undisturbed := tmp_path / "undisturbed").mkdir()
    (killed := tmp_path / "killed").mkdir()
    steps, rng, reached, done = 100, random.Random(1), [], killed / "last.steps"
    expected = launch("long_run", undisturbed, world, rule=rule, steps=steps, pause=0)
    for target in (10, 25, 40):
        # A step, its checkpoint and the pause take about as long, so that each of them is hit now and then.
        with start("long_run", killed, world, rule=rule, steps=steps, pause=0.01) as run:
            run.until(lambda: done.exists() and len(done.read_text().split()) >= target)  # noqa: B023
            run.kill(after=rng.uniform(0, 0.1))
        reached.append(int(done.read_text().split()[-1]))
    assert 10 <= reached[0] < reached[1] < reached[2] < steps  # it was killed, three times, and not too late
    for ours, theirs in zip(launch("long_run", killed, world, rule=rule, steps=steps, pause=0), expected):
        assert ours["weights"].keys() == theirs["weights"].keys()
        assert all(torch.equal(ours["weights"][n], theirs["weights"][n]) for n in theirs["weights"])
        assert all(torch.equal(b, theirs["feedback"]["feedback"][n]) for n, b in ours["feedback"]["feedback"].items())
    assert int(done.read_text().split()[-1]) == steps
