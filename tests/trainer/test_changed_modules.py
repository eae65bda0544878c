"""Modules that hooks change before a fit, that callbacks copy in a fit, and that users change between two fits."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from tests.lightning_net import batches, fit, loader, trainer, weights
from tests.problems import assert_same
from tests.trainer.test_trainer_features import Plain, criterion


def at(hook: str, change: Callable[[Any], None]) -> type[Plain]:
    """A module that is changed once, in ``__init__`` or in a hook."""

    class Changed(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.example_input_array, self.mixing, self.changed = None, None, False
            torch.manual_seed(1)
            self.net = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 5))
            if hook == "__init__":
                self.change()

        def change(self, *_: Any, **__: Any) -> None:
            if not self.changed:
                self.changed = True
                change(self)

        def forward(self, x):
            h = self.net[1](self.net[0](x))
            return self.net[2:](h if self.mixing is None else torch.tanh(h @ self.mixing))

        def training_step(self, batch, batch_idx):
            return criterion(self(batch[0]), batch[1])

    if hook != "__init__":
        setattr(Changed, hook, Changed.change)
    return Changed


def mix(module: Plain) -> None:
    module.mixing = nn.Parameter(torch.randn(12, 12, generator=torch.Generator().manual_seed(4)) / 4)


def drop(module: Plain) -> None:
    module.net[2] = nn.Identity()


@pytest.mark.parametrize("hook", ["setup", "configure_model"])
@pytest.mark.parametrize(("rule", "change"), [("fa", mix), ("kp", mix), ("fa", drop), ("dfa", drop), ("lafs", drop)])
def test_what_a_hook_changes_is_governed_as_if_it_had_been_so_from_the_beginning(rule, change, hook):
    """A matrix that `setup` made carried its true transpose; a layer that `setup` took out was waited for."""
    trained = []
    for where in (hook, "__init__"):
        module = at(where, change)()
        run = trainer(rule)
        run.fit(module, loader(batches()))
        trained.append((weights(module), dict(run.strategy.attached.feedback)))
    for ours, theirs in zip(*trained):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


class Keeping(Callback):
    """Keeps a copy of the module, as callbacks that remember the best do."""

    def on_train_epoch_end(self, trainer, pl_module):
        self.kept = copy.deepcopy(pl_module)


@pytest.mark.parametrize("rule", ["dfa", "lafs", "kp", "sg"])
def test_a_copy_that_was_made_in_a_fit_trains_by_the_rule_of_its_own_fit(rule):
    """The copy trained by the rule under every strategy, without a word."""
    keeping = Keeping()
    fit(Plain(), rule, callbacks=[keeping])
    fresh = [Plain() for _ in range(2)]
    for module in fresh:
        module.load_state_dict(keeping.kept.state_dict())
    with pytest.raises(RuntimeError, match=r"is a copy that was made while .* load its `state_dict"):
        fit(copy.deepcopy(keeping.kept), "auto")
    assert_same(fit(copy.deepcopy(keeping.kept), rule), fit(fresh[0], rule))
    kept = fit(keeping.kept, "bp")
    assert_same(kept, fit(fresh[1], "auto"))
    assert not any("_feedback" in name for name, _ in keeping.kept.named_parameters())


@pytest.mark.parametrize("rule", ["kp", "dkp", "sg", "wm"])
def test_a_second_fit_of_a_network_that_has_changed_is_an_error(rule):
    """All learned feedback was drawn anew, and the first fit's was lost."""
    module, run = Plain(), trainer(rule)
    run.fit(module, loader(batches()))
    module.net.append(nn.Tanh()).append(nn.Linear(5, 5))
    run.fit_loop.max_epochs = 2
    for _ in range(2):
        with pytest.raises(ValueError, match=r"does not fit the network, which has changed since\. Make a new Trainer"):
            run.fit(module, loader(batches()))
    fit(module, rule)
