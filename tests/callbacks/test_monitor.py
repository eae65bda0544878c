"""What holds for every callback: a monitored run is the run without them, and goes on after a resume."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.callbacks import NAMES, AlignmentMonitor, LinearProbes, RepresentationMonitor, RuleConfig, WeightNorms
from lightning_fa.callbacks.schedule import check_steps, is_due
from replications.experiment.loggers import read_curve
from tests.callbacks.net import RULES, Net, all_callbacks, data, fit, pattern
from tests.cases import MECHANISMS

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def state_of(module):
    numbers = {name: t.clone() for name, t in module.state_dict().items()}
    numbers["metric"] = module.accuracy.compute()
    return numbers


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize("rule", RULES)
def test_a_monitored_run_is_bitwise_the_run_without_monitors(tmp_path, rule):
    """A measurement that moves one dropout mask or one running mean compares two networks that were trained differently."""
    plain, _ = fit(tmp_path / "plain", rule=rule)
    watched, trainer = fit(tmp_path / "watched", all_callbacks(), rule=rule)
    for name, value in state_of(plain).items():
        assert torch.equal(state_of(watched)[name], value) or (value.isnan().all()), name
    assert (plain.calls, plain.seen) == (watched.calls, watched.seen)
    losses = [read_curve(tmp_path / run / "metrics.csv")["train/loss"] for run in ("plain", "watched")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 12
    assert trainer.callbacks[0].history.keys() == {0, 3, 6, 9, 12}


def test_a_monitored_run_leaves_the_random_generators_where_they_were(tmp_path):
    after = []
    for callbacks in ((), all_callbacks()):
        fit(tmp_path, callbacks, logger=False)
        after.append((torch.rand(3), np.random.get_state()[1].tolist()))  # noqa: NPY002
    assert torch.equal(after[0][0], after[1][0])
    assert after[0][1] == after[1][1]


def test_without_a_rule_the_other_callbacks_work_and_alignment_says_that_there_is_none(tmp_path, logged):
    callbacks = all_callbacks()
    fit(tmp_path, callbacks, rule=None)
    assert "no rule is attached" in logged.getvalue()
    assert callbacks[0].latest == {}
    assert all(callback.latest for callback in callbacks[1:])


def test_a_rule_that_the_user_attached_by_hand_is_not_said_to_be_backpropagation(tmp_path, logged):
    """As for several networks in one module. A record of the run named backpropagation."""

    class ByHand(Net):
        def __init__(self) -> None:
            super().__init__()
            fa.attach(self.net, "dfa")

    alignment = AlignmentMonitor()
    _, trainer = fit(tmp_path, [alignment, RuleConfig()], rule=None, steps=1, module=ByHand())
    assert "`fa.attach` has put a rule into net.0, net.4, net.6" in logged.getvalue()
    assert alignment.latest == {}
    assert trainer.logger.experiment.hparams["feedback"]["rule"] == "unknown, attached by fa.attach"


def test_the_table_of_names_has_what_is_logged_and_nothing_else(tmp_path):
    """Reports, sweeps and other people's scripts rely on them."""
    logged = set()
    for rule in MECHANISMS:
        fit(tmp_path / rule, all_callbacks(), rule=rule)
        logged |= read_curve(tmp_path / rule / "metrics.csv").keys() - {"epoch", "train/loss", "train/accuracy"}
    assert [name for name in logged if not any(pattern(known).match(name) for known in NAMES)] == []
    shown = ("/table", "/figure", "/histogram")
    promised = [name for name in NAMES if not name.endswith(shown) and not name.startswith("sg/")]
    assert [name for name in promised if not any(pattern(name).match(each) for each in logged)] == []


def test_a_resumed_run_measures_what_the_uninterrupted_run_measures(tmp_path):
    """State that is lost leaves gaps, doubles points, or restarts the distance from the beginning at zero."""
    torch.manual_seed(0)
    start = Net().state_dict()

    def run(folder, steps, ckpt=None):
        module = Net()
        module.load_state_dict(start)
        callbacks = [AlignmentMonitor(2), WeightNorms(2), RepresentationMonitor(data(seed=3)[1], size=20, steps=2)]
        trainer = Trainer(
            max_steps=steps,
            max_epochs=100,
            strategy=fa.FeedbackStrategy("dfa"),
            accelerator="cpu",
            logger=False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=tmp_path,
        )
        loader = DataLoader(TensorDataset(*data()[1]), batch_size=8)
        torch.manual_seed(5)
        trainer.fit(module, loader, ckpt_path=ckpt, weights_only=True)
        trainer.save_checkpoint(folder / "last.ckpt")
        return callbacks

    (tmp_path / "a").mkdir()
    whole = run(tmp_path / "a", 12)
    half = run(tmp_path / "a", 6)
    resumed = run(tmp_path / "a", 12, ckpt=tmp_path / "a" / "last.ckpt")
    assert resumed[0].history.keys() == whole[0].history.keys() == {0, 2, 4, 6, 8, 10, 12}
    assert resumed[0].history[6] == half[0].history[6]  # measured before the cut, and not again
    assert resumed[1].latest.keys() == whole[1].latest.keys()
    assert resumed[1].latest["weights/net.0/change"] > 0.01
    assert resumed[2]._first["net.0"].equal(whole[2]._first["net.0"])


@pytest.mark.parametrize("steps", [0, -3, "logarithmic", 1.5, ["a"]])
def test_a_schedule_that_means_nothing_is_refused(steps):
    with pytest.raises((ValueError, TypeError), match=r"steps|iterable"):
        check_steps(steps)


def test_schedules_are_every_n_a_list_or_log_spaced():
    assert [s for s in range(1100) if is_due("log", s)] == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert [s for s in range(10) if is_due(4, s)] == [0, 4, 8]
    assert [s for s in range(10) if is_due(frozenset([3]), s)] == [3]


class Uncallable(Net):
    """As the quick start's: what it computes stands in `training_step`."""

    forward = LightningModule.forward

    def training_step(self, batch, batch_idx):
        self.calls += 1
        return F.cross_entropy(self.net(batch[0]), batch[1])


@pytest.mark.parametrize("monitor", [LinearProbes, RepresentationMonitor])
def test_a_module_that_cannot_be_called_is_refused_before_training(tmp_path, monitor):
    """PyTorch's own error came from inside of a callback, and after the module's data were loaded."""
    module = Uncallable()
    with pytest.raises(MisconfigurationException, match=r"Uncallable has no `forward`\. Define"):
        fit(tmp_path, [monitor(data(seed=3)[1])], module=module, logger=False)
    assert module.calls == 0
    fit(tmp_path, [AlignmentMonitor(3)], module=Uncallable(), logger=False)  # looks at the training batches only
