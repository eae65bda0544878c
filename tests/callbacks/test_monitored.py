"""What is measured can stop a training, or choose its checkpoint."""

import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lightning_fa.callbacks import AlignmentMonitor, GradientHealth, WeightNorms
from tests.lightning_net import Net, batches, fit, loader, trainer, weights
from tests.problems import assert_same

ANGLE = "align/net.0/angle"
COUNT = 4


@pytest.mark.parametrize(("threshold", "epochs"), [(180.0, 1), (0.0, 3)])
def test_early_stopping_monitors_an_angle(threshold, epochs):
    """To train until the feedback is aligned needs the angle where Lightning looks for it. Every angle is between the two."""
    stopping = EarlyStopping(ANGLE, patience=9, stopping_threshold=threshold, check_on_train_epoch_end=True)
    run, module = trainer("dfa", max_epochs=3, callbacks=[stopping, AlignmentMonitor(1, figures=False)]), Net()
    run.fit(module, loader(batches()))
    assert run.current_epoch == epochs
    assert len(module.losses) == COUNT * epochs


@pytest.mark.filterwarnings("ignore:.*consider increasing.*:UserWarning")
def test_a_checkpoint_is_chosen_by_an_angle(tmp_path):
    """Otherwise Lightning ends the run: the key is not there."""
    saver = ModelCheckpoint(tmp_path, monitor=ANGLE, save_on_train_epoch_end=True)
    monitor = AlignmentMonitor(1, figures=False)
    fit(Net(), "dfa", callbacks=[saver, monitor], enable_checkpointing=True)
    assert saver.best_model_score.item() == pytest.approx(monitor.history[COUNT - 1][ANGLE])


def test_the_numbers_of_every_monitor_are_there_and_change_nothing():
    """A name that is logged and cannot be monitored is a trap."""
    monitors = [AlignmentMonitor(1, figures=False), WeightNorms(1, figures=False), GradientHealth(1)]
    run, module = trainer("dfa", callbacks=monitors), Net()
    run.fit(module, loader(batches()))
    for monitor in monitors:
        assert monitor.latest
        assert set(monitor.latest) <= set(run.callback_metrics)
    assert_same(weights(module), fit(Net(), "dfa"))
