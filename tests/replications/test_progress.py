"""Oracle: what a person sees who waits: bars on a terminal, lines in a file, and how much is left."""

import io
import re

import pytest
from rich.console import Console

from replications import cli
from replications.experiment import progress
from replications.experiment.progress import RunProgress
from replications.experiment.run import Run
from replications.papers.gilmer2017.settings import Settings


def work(experiments=("fig1", "fig2"), seeds=2):
    return [[Run(e, "dfa", "dfa", seed, Settings())] for seed in range(seeds) for e in experiments]


def shown(bars, terminal, paper=(1, 2)):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=140, height=40, _environ={})
    with RunProgress(work(), paper, console) as chosen:
        bars(chosen)
        numbers = {task.description: (task.completed, task.total, task.visible) for task in chosen.bars.tasks}
        times = {task.description: task.time_remaining for task in chosen.bars.tasks}
    return screen.getvalue(), numbers, times


def three_runs(bars):
    for group, label in zip(work(), ("fig1/dfa-seed0", "fig2/dfa-seed0", "fig1/dfa-seed1"), strict=False):
        bars.start(label, group)
        bars.step(50, 100, "loss 1.000", (2.5, 5))
        bars.finish("1.0 s")
    bars.start("fig2/dfa-seed1", work()[3])
    bars.step(60, 100, "loss 0.500", (3.0, 5))


def test_a_terminal_has_bars_for_papers_experiments_seeds_runs_epochs_and_steps_with_time_left():
    """An experiment counts as done with its last run of all seeds, and a paper when there is nothing left of it."""
    screen, numbers, times = shown(three_runs, True)
    assert numbers["papers"] == (0, 2, True)
    assert numbers["experiments"] == (1, 2, True)
    assert numbers["seeds"] == (1, 2, True)
    assert numbers["runs"] == (3, 4, True)
    assert numbers["epochs"] == (3.0, 5, True)
    assert numbers["fig2/dfa-seed1 loss 0.500"] == (60, 100, True)
    assert times["runs"] is not None
    for name in ("papers", "experiments", "seeds", "runs", "epochs", "fig2/dfa-seed1"):
        assert name in screen
    assert re.search(r"runs\W.*3/4.*\d:\d\d:\d\d.*\d:\d\d:\d\d", screen)  # since the beginning, and left

    def to_the_end(bars):
        three_runs(bars)
        bars.finish("1.0 s")

    assert shown(to_the_end, True, (2, 2))[1]["papers"] == (2, 2, True)


def test_a_run_without_epochs_has_no_bar_of_the_epochs_of_the_run_before():
    def bars(chosen):
        three_runs(chosen)
        chosen.finish("1.0 s")
        chosen.start("online", [])

    assert shown(bars, True)[1]["epochs"][2] is False


def test_without_a_terminal_there_are_plain_lines_that_say_where_it_is_and_how_long_it_takes(capsys, monkeypatch):
    """Escape codes and thousands of redrawn bars make a cluster's log unreadable."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    screen, _, _ = shown(three_runs, False)
    assert screen.strip() == ""
    lines = capsys.readouterr().out.splitlines()
    assert not any("\x1b" in line for line in lines)
    text = [re.sub(r"^\[ *[\d.]+ s\] ", "", line) for line in lines]
    assert text[0] == "run 1/4 (paper 1/2, experiment 1/2, seed 1/2): fig1/dfa-seed0"
    assert text[1] == "  fig1/dfa-seed0: epoch 3/5 step 50/100 loss 1.000"
    assert text[2] == "  fig1/dfa-seed0: 1.0 s"
    assert re.fullmatch(r"run 4/4 \(paper 1/2, experiment 2/2, seed 2/2\): fig2/dfa-seed1, about \d+ s left", text[9])


def test_the_time_left_is_the_mean_run_times_the_runs_that_are_left(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    bars = RunProgress(work(), console=Console(file=io.StringIO(), _environ={}))
    assert bars._left() == ""
    clock[0], bars.done = 30.0, 3
    assert bars._left() == ", about 10 s left"
    clock[0], bars.done = 100.0, 1
    assert bars._left() == ", about 5 min left"


def test_several_papers_are_one_command_with_a_folder_each(tmp_path, capsys, monkeypatch):
    trained = []

    def run(session):
        trained.append((session.paper.name, session.loop.paper, session.out.relative_to(tmp_path).as_posix()))

    for name in ("gilmer2017", "lillicrap2014"):
        monkeypatch.setattr(f"replications.papers.{name}.run", run)
    common = ["--preset", "smoke", "--wandb", "off", "--out", str(tmp_path)]
    monkeypatch.setattr("replications.running.conclude", lambda session: None)
    assert cli.main(["gilmer2017/fig1", "lillicrap2014", *common]) == 0
    assert trained == [("gilmer2017", (1, 2), "gilmer2017"), ("lillicrap2014", (2, 2), "lillicrap2014")]
    assert cli.main(["gilmer2017/fig1", "gilmer2017/b-scale", *common]) == 2
    assert "gilmer2017/A,B" in capsys.readouterr().err
    assert cli.main(["gilmer2017", "nobody1999", *common]) == 2
    assert len(trained) == 2, "a paper was trained before the next one was known to exist"


@pytest.mark.parametrize("accumulated", [1, 2])
def test_epochs_are_told_from_the_trainer(accumulated):
    told = []

    class Told:
        def step(self, done, total, note, epochs=None):
            told.append((done, total, note, epochs))

    from types import SimpleNamespace

    batches = 10
    trainer = SimpleNamespace(
        estimated_stepping_batches=30 // accumulated,
        global_step=30 // accumulated,
        num_training_batches=batches,
        accumulate_grad_batches=accumulated,
        current_epoch=2,
    )
    progress.ShowSteps(Told()).on_train_batch_end(trainer, None, {"loss": 0.5}, None, batches - 1)
    assert told == [(30 // accumulated, 30 // accumulated, "loss 0.500", (3.0, 3))]
