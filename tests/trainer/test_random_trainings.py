"""A bounded number of random trainings; `python -m tests.random_trainings` runs many more."""

from dataclasses import replace

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, given, settings

import lightning_fa as fa
from lightning_fa.training_step import TrainingStep
from tests.random_trainings import check, trainings

pytestmark = [  # of ModelCheckpoint and of the monitors
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks:UserWarning"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed from:UserWarning"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
]


def run(**fixed) -> None:
    @settings(
        max_examples=40,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # a smaller training is no clearer, and takes as long
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(trainings())
    def each(training):
        check(replace(training, **fixed))

    each()


def test_a_trainer_with_any_options_equals_the_loop():
    """Two options that each work alone, such as accumulation and manual optimisation, train a network wrongly together."""
    run()


def test_the_search_finds_a_loss_that_is_off_by_a_part_in_a_thousand(monkeypatch):
    """Otherwise the test above would pass on anything."""
    step = TrainingStep.__call__

    def scaled(self, *args, **kwargs):
        loss = step(self, *args, **kwargs)
        return None if loss is None else loss * 1.001

    monkeypatch.setattr(TrainingStep, "__call__", scaled)
    with pytest.raises(AssertionError, match="differs"):
        run(optimizer="momentum", clip=None, manual=False)  # Adam and clipping by the norm hide a factor


def test_the_search_finds_feedback_that_is_not_restored(monkeypatch):
    """As above, for what only a resumed training shows."""
    monkeypatch.setattr(fa.Attached, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError, match="differs"):
        run(rule="kp", epochs=2, resumed=True, precision="32-true", frozen=False)
