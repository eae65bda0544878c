"""Checkpoints of a Trainer: a resumed run is the same run, another rule is refused, and the weights belong to everybody."""

import pytest
import torch

import lightning_fa as fa
from tests.lightning_net import Net, OwnRule, fit, fit_and_save, under, weights
from tests.oracles import ORACLES
from tests.problems import assert_same, distance

pytestmark = [  # of ModelCheckpoint
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks:UserWarning"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed from:UserWarning"),
]

every_rule = pytest.mark.parametrize("rule", fa.RULES)
both_ways = pytest.mark.parametrize("mixin", [False, True], ids=["strategy", "mixin"])


@both_ways
@every_rule
def test_a_resumed_run_is_bit_identical(rule, mixin, tmp_path):
    """Feedback that the user has set is in no seed: without it in the checkpoint, resume undoes all alignment."""
    whole, strategy = under(rule, mixin)
    fit_and_save(tmp_path / "whole", whole, strategy, 2, scramble=True)
    first, strategy = under(rule, mixin)
    path = fit_and_save(tmp_path / "first", first, strategy, 1, scramble=True)
    second, strategy = under(rule, mixin)
    fit_and_save(tmp_path / "second", second, strategy, 2, ckpt_path=path)
    assert_same(weights(second), weights(whole))
    lowest = "net.4.weight" if ORACLES[rule].no_hidden_gradient else "net.0.weight"
    assert distance(weights(second)[lowest], weights(first)[lowest]) > 1e-4


@both_ways
@every_rule
def test_a_checkpoint_of_another_rule_is_refused(rule, mixin, tmp_path):
    """A run continued under another rule by mistake would be published under the wrong name."""
    path = fit_and_save(tmp_path, *under(rule, mixin))
    module, strategy = under("dfa" if rule != "dfa" else "fa", mixin)
    with pytest.raises(ValueError, match=f"another rule .*rule: checkpoint '{fa.RULES[rule].__name__}'"):
        fit(module, strategy, ckpt_path=path, max_epochs=2)


def test_a_checkpoint_of_another_seed_is_refused(tmp_path):
    """As above, for a sweep over seeds."""
    path = fit_and_save(tmp_path, Net(), fa.FeedbackStrategy(fa.FeedbackAlignment(seed=1)))
    with pytest.raises(ValueError, match="seed: checkpoint 1, here 2"):
        fit(Net(), fa.FeedbackStrategy(fa.FeedbackAlignment(seed=2)), ckpt_path=path, max_epochs=2)


@both_ways
@every_rule
def test_a_checkpoint_loads_into_the_plain_module(rule, mixin, tmp_path):
    """Trained weights are used without this library: strictly, and by the safe loader."""
    module, strategy = under(rule, mixin)
    path = fit_and_save(tmp_path, module, strategy)
    saved = torch.load(path, weights_only=True)
    plain = Net()
    plain.load_state_dict(saved["state_dict"], strict=True)
    assert_same(weights(plain), weights(module))
    assert_same(weights(Net.load_from_checkpoint(path, weights_only=True)), weights(module))
    assert saved["lightning_fa"]["config"]["rule"] == fa.RULES[rule].__name__


@every_rule
def test_a_checkpoint_of_a_plain_run_can_be_continued_under_a_rule(rule, tmp_path):
    """Fine-tuning by feedback from pretrained weights: there is no feedback in the file, and none is required."""
    path = fit_and_save(tmp_path, Net(), "auto")
    module = Net()
    strategy = fa.FeedbackStrategy(rule)
    if fa.RULES[rule].learned:
        pytest.skip("the optimizer of a plain run does not know the feedback that this rule learns")
    after = fit(module, strategy, ckpt_path=path, max_epochs=2)
    saved = torch.load(path, weights_only=True)["state_dict"]
    lowest = "net.4.weight" if ORACLES[rule].no_hidden_gradient else "net.0.weight"
    assert distance(after[lowest], saved[lowest]) > 1e-4
    assert strategy.attached.config()["rule"] == fa.RULES[rule].__name__


class Overriding(OwnRule):
    """A user's own hooks, which do not call super()."""

    def configure_model(self):
        self.configured = True

    def on_save_checkpoint(self, checkpoint):
        checkpoint["mine"] = 1

    def on_load_checkpoint(self, checkpoint):
        self.loaded = checkpoint["mine"]


@every_rule
def test_hooks_without_super_keep_the_rule(rule, tmp_path):
    """The usual omission would train by backprop, or forget the feedback, and say nothing."""
    module, reference, again = Overriding(rule), OwnRule(rule), Overriding(rule)
    path = fit_and_save(tmp_path / "module", module, "auto", scramble=True)
    fit_and_save(tmp_path / "reference", reference, "auto", scramble=True)
    assert module.configured
    assert_same(weights(module), weights(reference))
    fit(again, ckpt_path=path, max_epochs=2)
    assert again.loaded == 1
    if not fa.RULES[rule].learned:
        assert_same(again.attached.feedback, module.attached.feedback)
