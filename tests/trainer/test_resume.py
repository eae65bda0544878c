"""Checkpoints of a Trainer: a resumed run is the same run, another rule is refused, and the weights belong to everybody."""

import pytest
import torch

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor, RuleConfig
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


@both_ways
@pytest.mark.parametrize("rule", [rule for rule in fa.RULES if rule != "bp"])
def test_a_checkpoint_of_a_plain_run_is_not_continued_under_a_rule(rule, mixin, tmp_path):
    """Half of the run would be backpropagation's, under the name of the rule."""
    path = fit_and_save(tmp_path, Net(), "auto")
    module, strategy = under(rule, mixin)
    with pytest.raises(ValueError, match=f"made by backpropagation.*{fa.RULES[rule].__name__}.*load_from_checkpoint"):
        fit(module, strategy, ckpt_path=path, max_epochs=2)
    assert module.losses == []


@both_ways
def test_a_checkpoint_of_a_plain_run_goes_on_under_the_control(mixin, tmp_path):
    """It is the same training."""
    path = fit_and_save(tmp_path / "plain", Net(), "auto")
    module, strategy = under("bp", mixin)
    whole = Net()
    fit_and_save(tmp_path / "whole", whole, "auto", 2)
    fit_and_save(tmp_path / "second", module, strategy, 2, ckpt_path=path)
    assert_same(weights(module), weights(whole))


@pytest.mark.parametrize("rule", ["dfa", "kp", "sg"])
def test_the_weights_of_a_plain_run_can_be_trained_on_by_a_rule(rule, tmp_path):
    """Fine-tuning by feedback from pretrained weights: the way that the error names."""
    path = fit_and_save(tmp_path, Net(), "auto")
    module = Net.load_from_checkpoint(path, weights_only=True)
    before, after = weights(module), fit(module, rule)
    assert distance(after["net.0.weight"], before["net.0.weight"]) > 1e-4
    own = OwnRule(rule)
    own.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    assert_same(fit(own), after)


@pytest.mark.parametrize("callback", [RuleConfig, AlignmentMonitor])
def test_a_stock_strategy_does_not_go_on_from_a_rule_where_a_callback_of_ours_looks(callback, tmp_path):
    """A stock strategy skips what it does not know: the second half would be backpropagation's."""
    path = fit_and_save(tmp_path / "dfa", Net(), "dfa")
    with pytest.raises(ValueError, match=r"rule DirectFeedbackAlignment.*backpropagation would continue"):
        fit(Net(), "auto", ckpt_path=path, max_epochs=2, callbacks=[callback()])
    path = fit_and_save(tmp_path / "bp", Net(), "bp")
    fit(Net(), "auto", ckpt_path=path, max_epochs=2, callbacks=[RuleConfig()])


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
    if not fa.RULES[rule].learned and ORACLES[rule].copies is None:
        assert_same(again.attached.feedback, module.attached.feedback)
