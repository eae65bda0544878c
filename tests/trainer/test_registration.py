"""A rule of a user's own file, by its short name, everywhere."""

from dataclasses import dataclass

import pytest
import torch
from lightning.pytorch.strategies import StrategyRegistry

import lightning_fa as fa
from tests.lightning_net import Net, OwnRule, fit
from tests.problems import assert_same
from tests.trainer.test_cli import run

pytestmark = pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")


@dataclass(frozen=True, kw_only=True)
class Own(fa.DirectRule):
    """B is an eye."""

    seed: int = 0

    def initial(self, name, width, outputs):
        return torch.eye(width, outputs)

    def deliver(self, e, feedback):
        return e @ feedback.T


@pytest.fixture
def registered():
    fa.register("own", Own)
    yield "own"
    del fa.RULES["own"]
    for name in [name for name in StrategyRegistry.available_strategies() if name.startswith("own")]:
        StrategyRegistry.remove(name)


def test_a_rule_of_ones_own_has_a_name_everywhere(registered, tmp_path, monkeypatch):
    """Otherwise a user edits the package, or trains by another rule than he names."""
    monkeypatch.setattr("sys.argv", ["train.py"])
    by_object = fit(Net(), fa.FeedbackStrategy(Own()))
    assert_same(fit(Net(), "own"), by_object)
    assert_same(fit(OwnRule("own")), by_object)
    assert isinstance(run(tmp_path, "own", "fit").trainer.strategy.rule, Own)
    assert fa.attach(Net().net, "own").rule == Own()
    for name, strategy in (
        ("own_ddp", fa.DDPFeedbackStrategy),
        ("own_ddp_spawn", fa.DDPFeedbackStrategy),
        ("own_fsdp", fa.FSDPFeedbackStrategy),
        ("own_fsdp2", fa.ModelParallelFeedbackStrategy),
    ):
        made = StrategyRegistry.get(name)
        assert type(made) is strategy
        assert made.rule == Own()


def test_registering_the_same_class_again_is_no_error(registered):
    """A notebook's cell is run twice."""
    fa.register("own", Own)


@dataclass(frozen=True, kw_only=True)
class Needy(Own):
    must: int


class Plain(fa.DirectRule):
    initial, deliver = Own.initial, Own.deliver


@dataclass(frozen=True, kw_only=True)
class Half(fa.DirectRule):
    deliver = Own.deliver


@pytest.mark.parametrize(
    ("name", "kind", "error", "message"),
    [
        ("dfa", Own, ValueError, "'dfa' is taken"),
        ("dfa_ddp", Own, ValueError, "'dfa_ddp' is taken"),
        ("ddp", Own, ValueError, "'ddp' is taken"),
        ("My Rule", Own, ValueError, "lower case letters"),
        ("own2", Needy, TypeError, "defaults for all.*must"),
        ("own2", Plain, TypeError, "a dataclass"),
        ("own2", Half, TypeError, "does not define initial"),
        ("own2", Own(), TypeError, "Expected a class"),
        ("own2", torch.nn.Linear, TypeError, "Expected a class"),
    ],
)
def test_what_cannot_be_registered_is_refused_and_leaves_nothing(name, kind, error, message):
    """A name that is taken would change what a published configuration runs."""
    before = dict(fa.RULES), list(StrategyRegistry.available_strategies())
    with pytest.raises(error, match=message):
        fa.register(name, kind)
    assert before == (dict(fa.RULES), list(StrategyRegistry.available_strategies()))


def test_a_rule_that_is_no_dataclass_is_refused_when_it_is_attached():
    """Today the error comes with the first checkpoint, after hours."""
    with pytest.raises(TypeError, match=r"Plain to be a dataclass"):
        fa.attach(Net().net, Plain())
    with pytest.raises(TypeError, match=r"Plain to be a dataclass"):
        fa.FeedbackStrategy(Plain())


def test_lightnings_ways_to_start_processes_exist_for_every_rule():
    """In a notebook Lightning advises `ddp_notebook`, which would train by backpropagation."""
    for rule in fa.RULES:
        for suffix, method in (("spawn", "spawn"), ("fork", "fork"), ("notebook", "fork")):
            stock, made = StrategyRegistry.get(f"ddp_{suffix}"), StrategyRegistry.get(f"{rule}_ddp_{suffix}")
            assert made._start_method == stock._start_method == method
            assert made.rule == fa.RULES[rule]()


def test_a_strategy_for_another_lightning_says_so():
    """`pytorch_lightning` is another package with the same classes, and calls the object an invalid name."""
    other = pytest.importorskip("pytorch_lightning")
    with pytest.raises(ValueError, match=r"import Trainer from lightning.pytorch"):
        other.Trainer(strategy=fa.FeedbackStrategy("dfa"), accelerator="cpu")
