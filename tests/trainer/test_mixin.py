"""FeedbackMixin is used rightly, or its class cannot be defined."""

import pytest
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import lightning_fa as fa
from lightning_fa import training_step
from tests.lightning_net import Net, OwnRule, fit, under

both_ways = pytest.mark.parametrize("mixin", [False, True], ids=["strategy", "mixin"])


def test_the_mixin_behind_the_module_is_refused():
    """Lightning's own hooks would hide the mixin's: training is backpropagation, without a word."""
    with pytest.raises(TypeError, match=r"Behind would train by backpropagation.*class Behind\(fa.FeedbackMixin"):

        class Behind(LightningModule, fa.FeedbackMixin):
            rule = "dfa"


def test_the_mixin_behind_a_module_of_ones_own_is_refused():
    """The same, one class further away."""
    with pytest.raises(TypeError, match="FeedbackMixin first"):

        class Behind(Net, fa.FeedbackMixin):
            rule = "dfa"


def test_a_hook_that_another_base_puts_before_the_mixin_is_refused():
    """A base class that configures the model without `super()` would hide the mixin."""

    class Configured(LightningModule):
        def configure_model(self):
            pass

    with pytest.raises(TypeError, match=r"`configure_model` of Configured hides"):

        class Behind(Configured, OwnRule):
            pass


def test_a_subclass_of_a_right_class_is_right():
    """The check must not refuse what works."""

    class Sub(OwnRule):
        pass

    class Extra:
        pass

    class Beside(Extra, OwnRule):
        def configure_model(self):
            pass

    module = Beside("dfa")
    fit(module)
    assert module.attached.rule == fa.DirectFeedbackAlignment()
    assert Sub("dfa").rule == "dfa"


def test_a_mixin_without_a_rule_is_refused_before_training():
    """A forgotten attribute would be direct feedback alignment."""

    class Nameless(fa.FeedbackMixin, Net):
        pass

    module = Nameless()
    with pytest.raises(MisconfigurationException, match=r"Nameless names no rule. Set the attribute `rule`"):
        fit(module)
    assert module.losses == []


@both_ways
def test_one_line_at_the_start_says_what_is_governed(mixin, monkeypatch):
    """Who trains most weights by backpropagation inside blocks must read it before the run, once."""
    said = []
    monkeypatch.setattr(training_step, "rank_zero_info", said.append)
    module, strategy = under("dfa", mixin)
    fit(module, strategy)
    lines = [line for line in said if "weight matrices" in line]
    assert len(lines) == 1
    assert "DirectFeedbackAlignment: of 3 weight matrices 3 learn by the rule (3 blocks)" in lines[0]
