"""AlignmentMonitor: angles against the same computed by hand."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from lightning_fa.metrics import angles
from replications.experiment.loggers import read_curve
from tests.callbacks.net import Governed, Net, by_hand, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


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


@pytest.mark.parametrize("rule", ["lafs", "sg"])
def test_blocks_whose_graphs_are_let_go_in_training_are_measured(tmp_path, rule):
    """A batch so large that gradients are computed in the forward pass leaves no graph to differentiate."""
    monitor = AlignmentMonitor(1)
    fit(tmp_path, [monitor], rule=rule, steps=2, module=WithExample(), batch_size=48)
    assert {"align/net.0/angle", "align/net.4/angle"} <= monitor.latest.keys()


class WithExample(Net):
    def __init__(self):
        super().__init__()
        self.example_input_array = torch.zeros(2, 10)


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
                exists = trainer.strategy.attached.masks.get(layer, torch.tensor(True))
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
    masks = {n: int(m.sum()) for n, m in trainer.strategy.attached.masks.items()}
    assert len(masks) == 3 * (rule == "fa_sparse")
    expected = masks.get("net.0", 160) ** -0.5
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


def test_the_mixin_is_measured_like_the_strategy(tmp_path):
    monitors = [AlignmentMonitor(4), AlignmentMonitor(4)]
    torch.manual_seed(0)
    governed = Governed()
    fit(tmp_path, [monitors[0]], rule="dfa", logger=False)
    fit(tmp_path, [monitors[1]], rule=None, logger=False, module=governed, strategy=SingleDeviceStrategy(device="cpu"))
    assert monitors[0].latest == monitors[1].latest


def test_numbers_in_the_log_are_those_of_the_step_at_which_they_were_measured(tmp_path):
    monitor = AlignmentMonitor(5)
    fit(tmp_path, [monitor])
    curve = read_curve(tmp_path / "metrics.csv")["align/net.0/angle"]
    assert curve == pytest.approx({s: n["align/net.0/angle"] for s, n in monitor.history.items()})
    assert set(curve) == {0, 5, 10, 12}
    assert monitor.curves("angle").keys() == {"net.0", "net.4"}


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


VALUE_LOSSES = {
    "mse": F.mse_loss,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "cross_entropy": F.cross_entropy,
    "absolute": F.l1_loss,
}


class OfValues(Net):
    """Trained on values between 0 and 1 that sum to one, which all of the losses take."""

    def __init__(self, loss):
        super().__init__(lr=0.0)
        self.net = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 3))
        self.loss = VALUE_LOSSES[loss]

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self(x), y)


@pytest.mark.parametrize("rule", ["dfa", "lafs"])
@pytest.mark.parametrize("loss", VALUE_LOSSES)
def test_errors_of_values_are_those_of_the_networks_loss(tmp_path, rule, loss):
    """By autograd at both logits. Under binary cross-entropy 31 degrees were logged for 9: every value had the squared error."""
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(24, 10, generator=rng), torch.softmax(2 * torch.randn(24, 3, generator=rng), 1)
    monitor, module = AlignmentMonitor([0], batch=(x, y)), OfValues(loss)
    if rule == "lafs":
        rule = fa.LinearAlignedFeedback(loss="mse" if loss == "absolute" else loss)
    torch.manual_seed(0)
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        strategy=fa.FeedbackStrategy(rule),
        callbacks=[monitor],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=24))
    numbers = monitor.history[0]
    if loss == "absolute":
        assert not any("error_" in name for name in numbers)
        return
    B = trainer.strategy.attached.feedback["net.0"].detach().double()

    def error(logits):
        logits = logits.detach().requires_grad_()
        return torch.autograd.grad(VALUE_LOSSES[loss](logits, y.double()), logits)[0]

    layers = module.net.double()
    with torch.no_grad():
        h = torch.tanh(x.double() @ layers[0].weight.T + layers[0].bias)
        output = h @ layers[2].weight.T + layers[2].bias
    expected = angles(error(h @ B), error(output)).mean().item()
    assert numbers["align/net.0/error_angle"] == pytest.approx(expected, abs=1e-3)
