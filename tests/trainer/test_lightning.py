"""A LightningModule under a rule, through the Trainer: bitwise what a bare loop computes."""

import copy

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import lightning_fa as fa
from tests.lightning_net import Net, OwnRule, Validated, batches, classes, fit, loader, loop, trainer, weights
from tests.oracles import ORACLES, OTHERS
from tests.problems import assert_close, assert_same, distance

EPS = torch.finfo(torch.float32).eps

every_rule = pytest.mark.parametrize("rule", fa.RULES)
both_ways = pytest.mark.parametrize("mixin", [False, True], ids=["strategy", "mixin"])


@every_rule
def test_the_trainer_equals_a_bare_loop_bitwise(rule):
    """Every result of the replications is obtained through the Trainer: it must be the rule of the oracles."""
    module = Net()
    assert_same(fit(module, rule), loop(rule))
    assert len(module.losses) == 4


@pytest.mark.parametrize("rule", OTHERS)
def test_the_trainer_runs_the_rule_and_not_backprop(rule):
    """A strategy that Lightning ignores trains by backprop without a word."""
    ours, backprop, start = fit(Net(), rule), loop("bp"), weights(Net())
    for name in ("net.0.weight", "net.2.weight"):
        assert distance(ours[name] - start[name], backprop[name] - start[name]) > 0.1


@every_rule
def test_a_module_of_its_own_rule_equals_the_strategy_bitwise(rule):
    """Two ways to say the same thing must not be two implementations."""
    assert_same(fit(OwnRule(rule)), fit(Net(), rule))


@every_rule
def test_the_logged_loss_is_the_true_loss(rule):
    """Loss curves of two rules cannot be compared if one contains the blocks' own losses."""
    module, (x, y) = Net(), batches()[0]
    fit(module, rule, data=batches(1))
    reference = Net()
    if ORACLES[rule].changes_forward:  # the network of masked weights: its masks stay in the weights after ``fit``
        fa.attach(reference, rule)
    assert module.losses == [reference.loss(x, y).item()]


@every_rule
def test_accumulation_equals_the_loop(rule):
    """Lightning divides the loss after ``training_step``: a rule that drops the factor learns twice as fast below the head."""
    assert_same(fit(Net(), rule, accumulate_grad_batches=2), loop(rule, accumulate=2))


@every_rule
def test_clipping_equals_the_loop(rule):
    """Clipping reads ``.grad``: gradients written elsewhere would be neither clipped nor counted in the norm."""
    clipped = fit(Net(), rule, gradient_clip_val=0.05)
    assert_close(clipped, loop(rule, clip=0.05), EPS)
    lowest = "net.4.weight" if ORACLES[rule].no_hidden_gradient else "net.0.weight"
    assert distance(clipped[lowest], loop(rule)[lowest]) > 1e-3


@every_rule
def test_a_grad_scaler_changes_nothing_in_fp16(rule):
    """16-mixed scales the loss by 65536: homogeneity, through the real scaler and the real Trainer."""
    scaler, scales = torch.amp.GradScaler("cpu"), []

    class Watched(Net):
        def on_before_optimizer_step(self, optimizer):
            scales.append(scaler.get_scale())

    half = fit(Watched(), rule, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert scales == [65536.0] * 4
    start, full = weights(Net()), fit(Net(), rule)
    if ORACLES[rule].no_hidden_gradient:
        still = {name for name in start if not name.startswith("net.4.")}
        assert_same({name: half[name] for name in still}, {name: start[name] for name in still})
        start = {name: start[name] for name in start if name not in still}
    if ORACLES[rule].changes_forward:
        fa.attach(masked := Net(), rule)
        start = weights(masked)
    # The inverse of W is as much less precise than W as its largest singular value is larger than the smallest.
    rounds = 64 * (
        max(torch.linalg.cond(w).item() for w in start.values() if w.ndim == 2) if ORACLES[rule].inverts else 1
    )
    moved = {name: half[name] - start[name] for name in start}
    assert_close(
        moved, {name: full[name] - start[name] for name in start}, torch.finfo(torch.float16).eps, rounds=rounds
    )


class Manual(Net):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


@every_rule
def test_manual_optimisation_equals_automatic(rule):
    """GAN and multi-task code optimises by hand; its blocks must not lose their own losses there."""
    assert_same(fit(Manual(), rule), fit(Net(), rule))


class Accumulates(Manual):
    """Over two batches, as Lightning's documentation of manual optimisation says."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.scaled(self.loss(*batch)))
        if batch_idx % 2:
            optimizer.step()
            optimizer.zero_grad()

    def scaled(self, loss):
        return loss / 2


class JoinsFirst(Accumulates):
    def scaled(self, loss):
        return self.trainer.strategy.attached.loss(loss) / 2


@every_rule
def test_manual_accumulation_equals_the_loop_or_says_how(rule):
    """A factor in the loss scales the error. What a block learns without the error would count twice as much as the head."""
    if fa.RULES[rule]().needs_loss:
        with pytest.raises(RuntimeError, match=r"manual_backward\(attached.loss\(loss\) / N\)"):
            fit(Accumulates(), rule)
    else:
        assert_same(fit(Accumulates(), rule), loop(rule, accumulate=2))
    assert_same(fit(JoinsFirst(), rule), loop(rule, accumulate=2))


@pytest.mark.parametrize("rule", ["lafs", "dfa_sign"])
def test_a_loss_that_ends_in_a_factor_is_no_accumulation(rule):
    """A sum that is divided by the size of the batch, or half a squared error, trains in every step as ever."""

    def halved(self, x, y):
        return Net.loss(self, x, y) * 0.5

    by_hand, automatic = type("ByHand", (Manual,), {"loss": halved}), type("Automatic", (Net,), {"loss": halved})
    assert_same(fit(by_hand(), rule), fit(automatic(), rule))


class Mapped(Net):
    """Takes a mapping for a batch, and returns one."""

    def training_step(self, batch, batch_idx):
        return {"loss": super().training_step(tuple(batch.values()), batch_idx), "extra": 1}


@pytest.mark.parametrize("rule", [rule for rule, oracle in ORACLES.items() if oracle.targets])
def test_targets_are_found_where_the_user_says(rule):
    """Inputs taken for targets, or the targets of another head, would train all hidden layers on nonsense."""
    expected = fit(Net(), rule)
    usual = [{"image": x, "label": y} for x, y in batches()]
    own = [{"image": x, "digit": y} for x, y in batches()]
    assert_same(fit(Mapped(), rule, data=usual), expected)
    assert_same(fit(Mapped(), fa.FeedbackStrategy(rule, targets="digit"), data=own), expected)
    assert_same(fit(Mapped(), fa.FeedbackStrategy(rule, targets=lambda b: b["digit"]), data=own), expected)
    assert_same(fit(Net(), fa.FeedbackStrategy(rule, targets=1)), expected)
    with pytest.raises(ValueError, match="Say where they are with `targets=`"):
        fit(Mapped(), rule, data=own)


def test_a_strategy_takes_a_rule_object_and_blocks():
    """Seed, scale and cut of a paper must reach the model, else all settings give one result."""
    rule = fa.DirectFeedbackAlignment(seed=4, scale=3.0)
    strategy = fa.FeedbackStrategy(rule, blocks=["net.0", "net.2", "net.4"])
    assert_same(fit(Net(), strategy), loop(rule))
    assert distance(loop(rule)["net.0.weight"], loop("dfa")["net.0.weight"]) > 0.01
    assert strategy.attached.rule is rule
    coarse = fa.FeedbackStrategy(rule, blocks=["net"])
    assert_same(fit(Net(), coarse), loop("bp"))  # one block: nothing is cut
    assert list(coarse.attached.feedback) == []


@every_rule
def test_after_fit_the_module_is_plain_again(rule):
    """A module fine-tuned by a plain Trainer afterwards would stay under the rule."""
    module, reference = Net(), Net()
    before = [(type(m), set(m._buffers), set(m._parameters)) for m in module.modules()]
    fit(module, rule)
    assert [(type(m), set(m._buffers), set(m._parameters)) for m in module.modules()] == before
    assert not {"training_step", "manual_backward"} & vars(module).keys()
    reference.load_state_dict(module.state_dict())
    assert_same(fit(module), fit(reference))


@every_rule
def test_a_failed_fit_leaves_the_module_plain(rule):
    """Notebooks go on after an exception."""

    class Failing(Net):
        def on_train_batch_end(self, *args):
            raise RuntimeError("stop here")

    module = Failing()
    with pytest.raises(RuntimeError, match="stop here"):
        fit(module, rule)
    assert "training_step" not in vars(module)
    assert classes(module)[1:] == classes(Net())[1:]


@every_rule
def test_a_second_fit_goes_on_with_the_same_feedback(rule):
    """Training longer by calling ``fit`` again must not scramble what the weights have aligned with."""
    module, run = Net(), trainer(rule)
    run.fit(module, loader(batches(2)))
    strategy = run.strategy
    with torch.no_grad():
        for b in strategy.attached.feedback.values():
            b.mul_(-2)
    expected = {name: b.clone() for name, b in strategy.attached.feedback.items()}
    seen = {}
    module.on_train_start = lambda: seen.update({n: b.clone() for n, b in strategy.attached.feedback.items()})
    run.fit_loop.max_epochs = 2
    run.fit(module, loader(batches(2)))
    assert_same(seen, expected)


@both_ways
@every_rule
def test_validation_and_test_are_untouched(rule, mixin):
    """Accuracies are measured on the network that a user deploys, and measuring must not disturb the training."""
    own = type("Own", (fa.FeedbackMixin, Validated), {"rule": rule})
    module, run = own() if mixin else Validated(), trainer("auto" if mixin else rule)
    data = loader(batches(2))
    expected = trainer().validate(Validated(), data, verbose=False)
    assert run.validate(module, data, verbose=False) == expected
    assert run.test(module, data, verbose=False) == expected
    assert classes(module)[1:] == classes(Net())[1:]
    run.fit(module, loader(batches()), data)
    assert_same(weights(module), loop(rule))


def test_a_module_with_a_rule_under_a_feedback_strategy_is_refused():
    """Two rules for one module: whichever won, the other name would be in the logs."""
    with pytest.raises(MisconfigurationException, match="sets its own rule"):
        fit(OwnRule("dfa"), "dfa")


def test_several_devices_under_the_single_device_strategy_are_refused():
    """Lightning would start one process and train on one of the devices."""
    with pytest.raises(MisconfigurationException, match=r"trains on one device, but 2 were selected.*dfa_ddp"):
        trainer("dfa", devices=2)


def test_reading_the_rule_too_early_says_when_it_is_there():
    """An AttributeError on None would not."""
    with pytest.raises(RuntimeError, match=r"`Trainer\.fit`"):
        _ = fa.FeedbackStrategy("dfa").attached
    with pytest.raises(RuntimeError, match=r"configure_model\(\)"):
        _ = OwnRule("dfa").attached


@every_rule
def test_a_module_of_its_own_rule_works_without_a_trainer(rule):
    """``configure_model()`` by hand is the documented way in scripts; copies of the module take their rule along."""
    module = OwnRule(rule)
    module.configure_model()
    assert module.attached.config()["rule"] == fa.RULES[rule].__name__
    assert copy.deepcopy(module).attached.model is not module
    module.attached.detach()
    assert classes(module)[1:] == classes(Net())[1:]


@every_rule
def test_every_rule_is_registered_with_lightning(rule):
    """The table in the README promises ``Trainer(strategy=name)``."""
    strategy = trainer(rule).strategy
    assert isinstance(strategy, fa.FeedbackStrategy)
    assert isinstance(strategy.rule, fa.RULES[rule])
