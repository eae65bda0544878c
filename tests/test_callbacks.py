"""What the callbacks measure, against the same computed by hand; and that a monitored run is the run without them."""

import copy
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

import lightning_fa as fa
from lightning_fa.callbacks import (
    NAMES,
    AlignmentMonitor,
    GradientHealth,
    LinearProbes,
    RepresentationMonitor,
    SyntheticGradientMonitor,
    WeightNorms,
)
from lightning_fa.callbacks.schedule import check_steps, is_due
from lightning_fa.callbacks.undisturbed import undisturbed
from lightning_fa.metrics import angles, logistic, ridge
from lightning_fa.suspension import suspended
from replications.loggers import read_curve

# Kickback refuses the cross-entropy of these tests.
RULES = [rule for rule in fa.RULES if rule != "kickback"]
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


class Net(LightningModule):
    """All that makes "the same batch, the same mask, the same statistics" hard: dropout, batch norm, a metric, counters."""

    def __init__(self, lr=0.05):
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(
            nn.Linear(10, 16),
            nn.BatchNorm1d(16),
            nn.Tanh(),
            nn.Dropout(0.3),
            nn.Linear(16, 12),
            nn.ReLU(inplace=True),
            nn.Linear(12, 3),
        )
        self.accuracy = MulticlassAccuracy(3)
        self.calls, self.seen = 0, []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.calls += 1
        self.seen.append(batch_idx)
        logits = self(x)
        self.accuracy(logits, y)
        loss = F.cross_entropy(logits, y)
        self.log("train/loss", loss)
        self.log("train/accuracy", self.accuracy, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Governed(fa.FeedbackMixin, Net):
    rule = "dfa"


def data(n=48, seed=0, batch_size=8):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=rng)
    y = x[:, :3].argmax(1)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True), (x, y)


def fit(tmp_path, callbacks=(), rule="dfa", steps=12, module=None, logger=True, **kwargs):
    torch.manual_seed(0)
    module = Net() if module is None else module
    torch.manual_seed(1)
    if rule is not None:
        kwargs["strategy"] = fa.FeedbackStrategy(rule)
    trainer = Trainer(
        max_steps=steps,
        max_epochs=100,
        accelerator="cpu",
        logger=CSVLogger(tmp_path, name="", version="") if logger else False,
        log_every_n_steps=1,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        **kwargs,
    )
    trainer.fit(module, data()[0])
    return module, trainer


def all_callbacks():
    pair = data(seed=3)[1]
    return [
        AlignmentMonitor(3, pseudobackprop=True),
        LinearProbes(pair, data(seed=4)[1], steps=3),
        RepresentationMonitor(pair, size=20, steps=3),
        WeightNorms(3),
        GradientHealth(1),
    ]


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


def by_hand(module, attached, batch):
    """The signals at each block's output, by a forward pass written out in full; dropout from the present RNG state."""
    x, y = batch
    net, outputs = module.net, []
    h = x
    for i, layer in enumerate(net):
        h = layer(h) if not isinstance(layer, nn.ReLU) else h.relu()
        if i in (3, 5):
            h.retain_grad()
            outputs.append(h)
    F.cross_entropy(h, y).backward()
    e = (h.softmax(1) - F.one_hot(y, 3)).detach() / len(x)
    module.zero_grad()
    return [o.grad for o in outputs], [o.detach() for o in outputs], h.detach(), e


def test_the_angle_is_that_of_both_signals_on_the_batch_with_its_mask_and_statistics(tmp_path):
    """Another mask or the running statistics: the angle would be to the backprop of another network."""
    taken = {}

    class Copy(AlignmentMonitor):
        def measure(self, trainer, module, batch, batch_index):
            attached = trainer.strategy.attached
            twin = Net()
            twin.load_state_dict(module.state_dict())
            state = torch.get_rng_state()
            taken["signals"], taken["h"], taken["logits"], taken["e"] = by_hand(twin, attached, batch)
            taken["y"] = batch[1]
            taken["B"] = {name: b.clone() for name, b in attached.feedback.items()}
            torch.set_rng_state(state)
            super().measure(trainer, module, batch, batch_index)

    monitor = Copy([5])
    monitor.on_train_end = lambda *_: None
    fit(tmp_path, [monitor], steps=7)
    for i, block in enumerate(["net.0", "net.4"]):
        delivered = taken["e"] @ taken["B"][block].T
        expected = angles(delivered, taken["signals"][i])
        assert monitor.latest[f"align/{block}/angle"] == pytest.approx(expected.mean().item(), abs=1e-3)
        assert monitor.latest[f"align/{block}/angle_std"] == pytest.approx(expected.std(correction=0).item(), abs=1e-3)
        local = taken["h"][i] @ taken["B"][block]
        e_i = local.softmax(1) - F.one_hot(taken["y"], 3)
        expected = angles(e_i, taken["e"]).mean().item()
        assert monitor.latest[f"align/{block}/error_angle"] == pytest.approx(expected, abs=1e-3)
        right = 100 * (local.argmax(1) == taken["y"]).double().mean().item()
        assert monitor.latest[f"align/{block}/readout_accuracy"] == pytest.approx(right)
        assert monitor.latest[f"align/{block}/chance"] == pytest.approx(delivered.shape[1] ** -0.5)
    assert monitor.latest["align/net.0/angle"] > 5


@pytest.mark.parametrize("rule", ["fa", "lafs", "dfa", "fa_sparse"])
def test_the_update_angle_is_that_of_the_two_gradients(tmp_path, rule):
    """Checked against the gradients of an attached and a plain copy; where a rule has cut a connection, there is none."""
    found = {}

    class Copy(AlignmentMonitor):
        def measure(self, trainer, module, batch, batch_index):
            state = torch.get_rng_state()
            gradients = []
            for name in (rule, None):
                twin = Net()
                twin.load_state_dict(module.state_dict())
                attached = fa.attach(twin, name) if name else None
                if attached is not None:  # feedback names begin at the module that a rule is attached to
                    for key, b in attached.feedback.items():
                        b.copy_(trainer.strategy.attached.feedback[key])
                    attached.targets = batch[1]
                torch.set_rng_state(state)
                loss = F.cross_entropy(twin(batch[0]), batch[1])
                (attached.loss(loss) if attached else loss).backward()
                gradients.append({n: p.grad for n, p in twin.named_parameters()})
            torch.set_rng_state(state)
            for layer in ("net.0", "net.4", "net.6"):
                exists = trainer.strategy.attached._held().get(f"{layer}.mask", torch.tensor(True))
                pair = [(g[f"{layer}.weight"] * exists).reshape(1, -1) for g in gradients]
                found[layer] = angles(*pair).item()
            super().measure(trainer, module, batch, batch_index)

    monitor = Copy([4])
    monitor.on_train_end = lambda *_: None
    _, trainer = fit(tmp_path, [monitor], steps=6, rule=rule)
    for layer, angle in found.items():
        assert monitor.latest[f"align/{layer}/update_angle"] == pytest.approx(angle, abs=1e-3), layer
    assert found["net.0"] > 5
    assert monitor.latest["align/net.6/update_angle"] == pytest.approx(0, abs=1e-3)
    masks = {n: int(m.sum()) for n, m in trainer.strategy.attached._held().items() if n.endswith(".mask")}
    assert len(masks) == 3 * (rule == "fa_sparse")
    expected = masks.get("net.0.mask", 160) ** -0.5
    assert monitor.latest["align/net.0/update_chance"] == pytest.approx(expected)


def test_backprop_is_aligned_with_itself(tmp_path):
    """The zero of the scale: any difference between the two passes (mask, statistics, order) shows here."""
    monitor = AlignmentMonitor(4)
    fit(tmp_path, [monitor], rule="bp")
    measured = {name: value for name, value in monitor.latest.items() if name.endswith(("/angle", "/update_angle"))}
    assert len(measured) == 5
    assert measured == pytest.approx(dict.fromkeys(measured, 0), abs=1e-9)


def test_a_monitor_measures_on_the_batch_that_it_was_given(tmp_path):
    """Given the very batch of step 4 it finds what it finds without; given another, something else."""
    (tmp_path / "own").mkdir()
    without = AlignmentMonitor([4])
    seen = []
    without.measure = lambda *args, of=without.measure: (seen.append(args[2]), of(*args))
    fit(tmp_path / "own", [without])
    at_four, last = seen
    for batch, same in ((at_four, True), (last, False)):
        given = AlignmentMonitor([4], batch=batch)
        fit(tmp_path / f"{same}", [given])
        assert (given.history[4] == without.history[4]) is same


def test_the_weight_angle_is_that_of_w_and_b(tmp_path):
    monitor = AlignmentMonitor(5)
    module, trainer = fit(tmp_path, [monitor], rule="fa")
    B = trainer.strategy.attached.feedback["net.4"]
    expected = F.cosine_similarity(module.net[4].weight.detach().flatten(), B.flatten(), dim=0).item()
    assert monitor.latest["align/net.4/weight_cosine"] == pytest.approx(expected, abs=1e-6)
    assert monitor.latest["align/net.4/weight_chance"] == pytest.approx((16 * 12) ** -0.5)


def test_pseudobackprop_is_the_pseudoinverse_applied_to_the_error(tmp_path):
    """Lillicrap et al. 2014, figure 4: delta h_PBP = W^+ e at the last hidden layer."""

    class Two(Net):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 3))

    taken = {}

    class Copy(AlignmentMonitor):
        def measure(self, trainer, module, batch, batch_index):
            x, y = batch
            with torch.no_grad():
                e = module.net[:2](x) @ module.net[2].weight.T + module.net[2].bias
                e = (e.softmax(1) - F.one_hot(y, 3)).double()
                taken["pseudo"] = e @ torch.linalg.pinv(module.net[2].weight.double()).T
                taken["fa"] = e @ trainer.strategy.attached.feedback["net.2"].double()
            super().measure(trainer, module, batch, batch_index)

    monitor = Copy(4, pseudobackprop=True)
    fit(tmp_path, [monitor], rule="fa", module=Two())
    expected = angles(taken["fa"], taken["pseudo"]).mean().item()
    assert monitor.latest["align/net.0/pseudo_angle"] == pytest.approx(expected, abs=1e-3)
    assert abs(expected - monitor.latest["align/net.0/angle"]) > 0.5


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("shallow", "fa_sparse")])
def test_a_suspended_rule_is_backprop_and_comes_back_bitwise(rule):
    """Of two twins one is suspended in between: both must go on alike, streams and learned feedback included."""
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = torch.randn(7, 5), torch.randint(3, (7,))

    def gradients(net, attached=None):
        net.zero_grad()
        if attached:
            attached.targets = y
        loss = F.cross_entropy(net(x), y)
        (attached.loss(loss) if attached else loss).backward()
        return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    def same(ours, theirs):
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    models = [copy.deepcopy(start), copy.deepcopy(start)]
    attached = [fa.attach(model, rule) for model in models]
    assert same(gradients(models[0], attached[0]), gradients(models[1], attached[1]))
    with suspended(attached[0]):
        assert same(gradients(models[0]), gradients(start))
        assert type(models[0][2]) is nn.Linear
    assert same(gradients(models[0], attached[0]), gradients(models[1], attached[1]))
    attached[0].detach()
    assert type(models[0][2]) is nn.Linear


def test_the_mixin_is_measured_like_the_strategy(tmp_path):
    monitors = [AlignmentMonitor(4), AlignmentMonitor(4)]
    torch.manual_seed(0)
    governed = Governed()
    fit(tmp_path, [monitors[0]], rule="dfa", logger=False)
    fit(tmp_path, [monitors[1]], rule=None, logger=False, module=governed, strategy=SingleDeviceStrategy(device="cpu"))
    assert monitors[0].latest == monitors[1].latest


def test_without_a_rule_the_other_callbacks_work_and_alignment_says_that_there_is_none(tmp_path, caplog):
    callbacks = all_callbacks()
    fit(tmp_path, callbacks, rule=None)
    assert "no rule is attached" in caplog.text
    assert callbacks[0].latest == {}
    assert all(callback.latest for callback in callbacks[1:])


def pattern(name):
    return re.compile(re.sub(r"<\w+>", r"[\\w.]+", name) + r"\Z")


@pytest.mark.parametrize("rule", RULES)
def test_every_logged_name_is_in_the_table_of_names(tmp_path, rule):
    """Reports, sweeps and other people's scripts rely on them."""
    fit(tmp_path, all_callbacks(), rule=rule)
    logged = read_curve(tmp_path / "metrics.csv").keys() - {"epoch", "train/loss", "train/accuracy"}
    known = [pattern(name) for name in NAMES]
    assert logged
    assert [name for name in logged if not any(p.match(name) for p in known)] == []


def test_every_name_of_a_number_in_the_table_is_logged_by_some_rule(tmp_path):
    logged = set()
    for rule in RULES:
        fit(tmp_path / rule, all_callbacks(), rule=rule)
        logged |= read_curve(tmp_path / rule / "metrics.csv").keys()
    shown = ("/table", "/figure", "/histogram")
    promised = [name for name in NAMES if not name.endswith(shown) and not name.startswith("sg/")]
    assert [name for name in promised if not any(pattern(name).match(each) for each in logged)] == []


def test_numbers_in_the_log_are_those_of_the_step_at_which_they_were_measured(tmp_path):
    monitor = AlignmentMonitor(5)
    fit(tmp_path, [monitor])
    curve = read_curve(tmp_path / "metrics.csv")["align/net.0/angle"]
    assert curve == pytest.approx({s: n["align/net.0/angle"] for s, n in monitor.history.items()})
    assert set(curve) == {0, 5, 10, 12}
    assert monitor.curves("angle").keys() == {"net.0", "net.4"}


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


def test_under_accumulation_a_step_is_measured_once(tmp_path):
    monitor = AlignmentMonitor(1)
    fit(tmp_path, [monitor], steps=4, accumulate_grad_batches=3)
    assert sorted(read_curve(tmp_path / "metrics.csv")["align/net.0/angle"]) == [0, 1, 2, 3, 4]


def test_alignment_does_not_depend_on_the_factor_of_mixed_precision(tmp_path):
    """LAFS and other rules that are not linear divide the factor out: the monitor's own passes must hand it to them."""
    from lightning.pytorch.plugins import MixedPrecision

    monitors = []
    for precision in (None, MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))):
        monitors.append(AlignmentMonitor([0]))
        monitors[-1].on_train_end = lambda *_: None
        fit(
            tmp_path,
            [monitors[-1]],
            rule="lafs",
            steps=1,
            logger=False,
            **({"plugins": precision} if precision else {}),
        )
    for name, value in monitors[0].latest.items():
        assert monitors[1].latest[name] == pytest.approx(value, abs=13 if "accuracy" in name else 3), name


def test_manual_optimisation_needs_a_loss_of_its_own(tmp_path):
    class Manual(Net):
        automatic_optimization = False

        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            loss = F.cross_entropy(self(batch[0]), batch[1])
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    with pytest.raises(Exception, match="Pass `loss=`"):
        fit(tmp_path, [AlignmentMonitor(4)], module=Manual(), logger=False)
    for rule in ("dfa", "lafs"):
        monitor = AlignmentMonitor(4, loss=lambda module, batch: F.cross_entropy(module(batch[0]), batch[1]))
        fit(tmp_path, [monitor], module=Manual(), rule=rule, logger=False)
        assert monitor.latest["align/net.0/angle"] > 5


@pytest.mark.parametrize("steps", [0, -3, "logarithmic", 1.5, ["a"]])
def test_a_schedule_that_means_nothing_is_refused(steps):
    with pytest.raises((ValueError, TypeError), match=r"steps|iterable"):
        check_steps(steps)


def test_schedules_are_every_n_a_list_or_log_spaced():
    assert [s for s in range(1100) if is_due("log", s)] == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert [s for s in range(10) if is_due(4, s)] == [0, 4, 8]
    assert [s for s in range(10) if is_due(frozenset([3]), s)] == [3]


def test_undisturbed_restores_after_an_error_too():
    module = Net()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), undisturbed(module):  # noqa: PT012
        module(torch.randn(8, 10))
        module.calls, module.new = 5, torch.zeros(1)
        module.seen.append(1)
        module.eval()
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), state)
    assert (module.calls, module.seen, hasattr(module, "new"), module.net.training) == (0, [], False, True)
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert "log" not in module.__dict__


# -- probes -------------------------------------------------------------------------------------------------------------------


def test_probes_are_ridge_on_the_layers_evaluation_features(tmp_path):
    """In training mode dropout would spoil the features, and the probe would move the statistics of batch norm."""
    (x, y), (tx, ty) = data(seed=3)[1], data(seed=4)[1]
    probes = LinearProbes((x, y), (tx, ty), steps=6, penalty=1e-3)
    module, _ = fit(tmp_path, [probes])
    module.eval()
    with torch.no_grad():
        hidden = {"net.0": module.net[:4], "net.4": module.net[:6], "net.6": module.net}
        for layer, part in hidden.items():
            readout = ridge(part(x), F.one_hot(y, 3), 1e-3 * len(x))
            right = (readout(part(tx)).argmax(1) == ty).double().mean().item()
            assert probes.latest[f"probe/{layer}/test_accuracy"] == pytest.approx(100 * right), layer
            back = ridge(part(x), x, 1e-3 * len(x))
            expected = (back(part(x)) - x).square().mean().item()
            assert probes.latest[f"probe/{layer}/input_mse"] == pytest.approx(expected, rel=1e-6)
            right = 100 * (logistic(part(x), y, 3)(part(tx)).argmax(1) == ty).double().mean().item()
            assert probes.latest[f"probe/{layer}/converged_test_accuracy"] == pytest.approx(right), layer


def test_named_layers_are_probed_at_their_own_output_even_before_an_inplace_layer(tmp_path):
    (x, y) = data(seed=3)[1]
    probes = LinearProbes((x, y), layers=["net.4"], steps=6, converged=False, input_regression=False)
    module, _ = fit(tmp_path, [probes])
    module.eval()
    with torch.no_grad():
        h = module.net[4](module.net[:4](x))
    right = (ridge(h, F.one_hot(y, 3), 1e-4 * len(x))(h).argmax(1) == y).double().mean().item()
    assert probes.latest == {"probe/net.4/train_accuracy": pytest.approx(100 * right)}


def test_a_layer_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    with pytest.raises(ValueError, match=r"net\.9.*net\.0"):
        fit(tmp_path, [LinearProbes(data()[1], layers=["net.9"])], logger=False)


def test_probe_data_come_from_tensors_or_a_loader():
    loader, (x, _) = data()
    assert LinearProbes(loader).train[0].shape == x.shape
    with pytest.raises(ValueError, match="pair of tensors"):
        LinearProbes(3)


# -- representations and weights -------------------------------------------------------------------------------------------


def test_representations_are_compared_between_layers_and_runs(tmp_path):
    monitors = [RepresentationMonitor(data(seed=3)[1], size=30, steps=6, save_to=tmp_path / "m") for _ in range(2)]
    module, _ = fit(tmp_path, [monitors[0]], logger=False)
    fit(tmp_path, [monitors[1]], rule="bp", module=Net(lr=0.5), logger=False)
    module.eval()
    labels = monitors[0].labels
    assert labels.tolist() == sorted(labels.tolist())
    assert len(labels) == 30
    with torch.no_grad():
        h, last = module.net[:4](monitors[0].inputs), module(monitors[0].inputs)
    above = np.triu_indices(30, 1)
    corr = [np.corrcoef(t.double().numpy())[above] for t in (h, last)]
    expected = np.corrcoef(*corr)[0, 1]
    assert monitors[0].latest["rsm/net.0/to_last"] == pytest.approx(expected, abs=1e-5)
    assert monitors[0].compare(monitors[0]) == pytest.approx(dict.fromkeys(monitors[0].matrices, 1.0))
    assert monitors[0].compare(monitors[1])["net.6"] < 0.999
    saved = torch.load(tmp_path / "m" / "rsm-00000012.pt", weights_only=True)
    assert torch.equal(saved["net.0"], monitors[1].matrices["net.0"])
    with pytest.raises(ValueError, match="same samples"):
        monitors[0].compare(RepresentationMonitor(data(seed=4)[1], size=30))


def test_weight_norms_are_numpys(tmp_path):
    norms = WeightNorms(6)
    torch.manual_seed(0)
    start = Net().net[4].weight.detach().numpy().copy()
    module, trainer = fit(tmp_path, [norms])
    w = module.net[4].weight.detach().numpy()
    assert norms.latest["weights/net.4/norm"] == pytest.approx(np.linalg.norm(w), rel=1e-6)
    assert norms.latest["weights/net.4/change"] == pytest.approx(np.linalg.norm(w - start), rel=1e-5)
    B = trainer.strategy.attached.feedback["net.4"].numpy()
    assert norms.latest["weights/net.4/feedback_norm"] == pytest.approx(np.linalg.norm(B), rel=1e-6)


# -- health ------------------------------------------------------------------------------------------------------------------


def test_a_layer_whose_feedback_is_zero_is_named_with_that_cause(tmp_path):
    """One library shipped every hidden gradient silently zero."""
    rule = fa.DirectFeedbackAlignment(init={"net.0": torch.zeros(16, 3), "net.4": torch.randn(12, 3)})
    with pytest.warns(UserWarning, match=r"'net\.0'.*no signal.*the feedback of 'net\.0' is zero"):
        fit(tmp_path, [GradientHealth(1)], rule=rule, logger=False)


def test_a_layer_of_dead_units_is_named(tmp_path):
    module = Net()
    with torch.no_grad():
        module.net[4].bias.fill_(-100.0)
        module.net[4].bias[0] = 100.0
    with pytest.warns(UserWarning, match=r"'net\.4'.*dead.*92 % of its units"):
        fit(tmp_path, [GradientHealth(1)], rule="bp", module=module, logger=False)


def test_an_exploding_layer_is_named(tmp_path):
    class Exploding(Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (1e8 if batch_idx > 2 else 1)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-12)

    with pytest.warns(UserWarning, match=r"'net\.\d'.*exploding"):
        fit(tmp_path, [GradientHealth(1, patience=2)], rule="bp", module=Exploding(), steps=6, logger=False)


def test_a_healthy_run_warns_of_nothing_and_logs_norms(tmp_path):
    """Warnings are errors in this suite: a false alarm would fail here."""
    health = GradientHealth(2)
    fit(tmp_path, [health])
    assert health.latest["health/net.0/gradient_norm"] > 0
    assert sorted(read_curve(tmp_path / "metrics.csv")["health/net.6/dead_units"]) == [0, 2, 4, 6, 8, 10]


def test_trouble_in_a_single_step_is_no_trouble(tmp_path):
    """A GradScaler looks for the largest factor by overflowing now and then."""

    class Once(Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (0 if batch_idx == 2 else 1)

    fit(tmp_path, [GradientHealth(1)], rule="bp", module=Once(), logger=False)


# -- synthetic gradients ---------------------------------------------------------------------------------------------------


def test_a_synthetic_gradient_is_compared_with_the_samples_own_gradient(tmp_path):
    """SG predicts the gradient of a sample's loss, backward carries that of the mean: a factor of the batch size."""
    taken = {}

    class Copy(SyntheticGradientMonitor):
        def measure(self, trainer, module, batch, batch_index):
            (x, y), theta = batch, trainer.strategy.attached.feedback
            twin = Net()
            twin.load_state_dict(module.state_dict())
            state = torch.get_rng_state()
            gradients, outputs, logits, _ = by_hand(twin, None, batch)
            torch.set_rng_state(state)
            A, B, C = (theta[f"net.0.{letter}"].detach().double() for letter in "ABC")
            h, labels = outputs[0].double(), F.one_hot(y, 3).double()
            sg, true = h @ A + labels @ B + C, len(x) * gradients[0].double()
            taken["error"] = ((sg - true).square().sum() / true.square().sum()).item()
            taken["angle"] = angles(sg, true).mean().item()
            implied = (h @ ((A + A.T) / 2) * h).sum(1) / 2 + ((labels @ B + C) * h).sum(1)
            losses = F.cross_entropy(logits, y, reduction="none").double()
            taken["implied"] = implied.mean().item()
            taken["correlation"] = np.corrcoef(implied.numpy(), losses.numpy())[0, 1]
            super().measure(trainer, module, batch, batch_index)

    monitor = Copy([20])
    monitor.on_train_end = lambda *_: None
    fit(tmp_path, [monitor], rule="sg", steps=22)
    assert 0 < taken["error"] < 3
    assert monitor.latest["sg/net.0/relative_error"] == pytest.approx(taken["error"], rel=1e-4)
    assert monitor.latest["sg/net.0/angle"] == pytest.approx(taken["angle"], abs=1e-3)
    assert monitor.latest["sg/net.0/implied_loss"] == pytest.approx(taken["implied"], rel=1e-4)
    assert monitor.latest["sg/net.0/loss_correlation"] == pytest.approx(taken["correlation"], abs=1e-4)
    assert 0 < monitor.latest["sg/net.0/antisymmetric_share"] < 1


@pytest.mark.parametrize("rule", ["sg", "sgprop"])
def test_the_synthetic_gradient_monitor_leaves_no_trace_and_logs_every_promised_name(tmp_path, rule):
    plain, _ = fit(tmp_path / "plain", rule=rule)
    watched, _ = fit(tmp_path / "watched", [SyntheticGradientMonitor(3)], rule=rule)
    assert all(torch.equal(t, watched.state_dict()[name]) for name, t in plain.state_dict().items())
    logged = {name for name in read_curve(tmp_path / "watched" / "metrics.csv") if name.startswith("sg/")}
    promised = {name.replace("<block>", block) for name in NAMES for block in ("net.0", "net.4")}
    assert logged == {name for name in promised if name.startswith("sg/")}


def test_the_synthetic_gradient_monitor_refuses_a_rule_without_synthetic_gradients(tmp_path):
    with pytest.raises(Exception, match=r"such as .sg.*DirectFeedbackAlignment"):
        fit(tmp_path, [SyntheticGradientMonitor(3)], rule="dfa", logger=False)


# -- compiled modules --------------------------------------------------------------------------------------------------------


def can_set_compiled_code_aside():
    return hasattr(torch.compiler, "set_stance")


@pytest.mark.filterwarnings("ignore")  # the compiler's own, and what it makes of torchmetrics'
@pytest.mark.skipif(not can_set_compiled_code_aside(), reason="PyTorch before 2.6")
@pytest.mark.parametrize("rule", ["dfa", "fa"])
def test_a_compiled_module_is_measured_like_the_same_module_uncompiled(tmp_path, rule):
    """Compiled code does not see hooks that come later: nothing would be logged, or what an earlier batch left."""
    torch._dynamo.reset()
    plain, compiled = all_callbacks(), all_callbacks()
    # Without dropout, whose masks the compiler draws in another order.
    modules = [Net(), Net()]
    modules[1].load_state_dict(modules[0].state_dict())
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    for module in modules:
        module.net[3] = nn.Identity()
    fit(tmp_path, plain, rule=rule, steps=6, module=modules[0], logger=False)
    fit(tmp_path, compiled, rule=rule, steps=6, module=torch.compile(modules[1], backend=backend), logger=False)
    torch._dynamo.reset()
    assert graphs
    for ours, theirs in zip(compiled, plain):
        assert ours.latest.keys() == theirs.latest.keys()
        assert ours.latest == pytest.approx(theirs.latest, rel=1e-3, abs=1e-3), type(ours)
    assert compiled[0].history.keys() == {0, 3, 6}


@pytest.mark.filterwarnings("ignore")  # the compiler's own, and what it makes of torchmetrics'
def test_a_compiled_module_that_cannot_be_measured_is_refused_before_training_with_the_way_out(tmp_path, monkeypatch):
    """On PyTorch 2.4 and 2.5; a compiled part is as blind as a compiled whole. Health needs no hooks, and works."""
    monkeypatch.delattr(torch.compiler, "set_stance", raising=False)
    whole, part, inside = torch.compile(Net(), backend="eager"), Net(), Net()
    part.net = torch.compile(part.net, backend="eager")
    inside.net[0].compile(backend="eager")
    for module in (whole, part, inside):
        for callback in all_callbacks()[:3]:
            with pytest.raises(Exception, match=f"{type(callback).__name__} adds hooks.*PyTorch 2.6 or newer"):
                fit(tmp_path, [callback], module=module, logger=False, rule=None)
    torch._dynamo.reset()
    fit(tmp_path, [GradientHealth(1)], module=torch.compile(Net(), backend="eager"), logger=False, steps=2)


# -- several ranks ---------------------------------------------------------------------------------------------------------

SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from lightning.pytorch import Trainer
import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from tests.test_callbacks import Net, data
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
    root = str(Path(__file__).parent.parent)
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
