"""Strategies by class path, from LightningCLI and YAML."""

import textwrap

import pytest
import torch
from lightning.pytorch.cli import LightningCLI

import lightning_fa as fa
from tests.lightning_net import Net, batches, loader, weights
from tests.problems import assert_same

pytestmark = pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")


class Module(Net):
    def train_dataloader(self):
        return loader(batches())


COMMON = """
    trainer:
      accelerator: cpu
      devices: 1
      max_epochs: 1
      logger: false
      enable_checkpointing: false
      enable_progress_bar: false
      enable_model_summary: false
      strategy: {strategy}
"""


@pytest.fixture(autouse=True)
def _no_arguments_of_pytest(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])


def run(tmp_path, strategy, *command):
    config = tmp_path / "config.yaml"
    config.write_text(textwrap.dedent(COMMON).format(strategy=strategy))
    return LightningCLI(
        Module,
        seed_everything_default=0,
        save_config_callback=None,
        run=bool(command),
        args=[*command, "--config", str(config)],
    )


@pytest.mark.parametrize(
    ("name", "strategy", "options"),
    [
        ("FeedbackStrategy", fa.FeedbackStrategy, ""),
        ("DDPFeedbackStrategy", fa.DDPFeedbackStrategy, ", find_unused_parameters: true"),
        ("FSDPFeedbackStrategy", fa.FSDPFeedbackStrategy, ", state_dict_type: sharded"),
        ("ModelParallelFeedbackStrategy", fa.ModelParallelFeedbackStrategy, ", data_parallel_size: 1"),
    ],
)
def test_a_strategy_is_made_from_its_class_path(tmp_path, name, strategy, options):
    """Settings in files are how sweeps are run; options of the stock strategy go through."""
    yaml = f"{{class_path: lightning_fa.{name}, init_args: {{rule: lafs, targets: 1{options}}}}}"
    made = run(tmp_path, yaml).trainer.strategy
    assert type(made) is strategy
    assert isinstance(made.rule, fa.LinearAlignedFeedback)
    assert made.targets == 1
    if "find_unused" in options:
        assert made._ddp_kwargs["find_unused_parameters"] is True
    if "sharded" in options:
        assert made._state_dict_type == "sharded"
    if "data_parallel" in options:
        assert made._data_parallel_size == 1


def test_a_rule_with_settings_trains_from_a_file(tmp_path):
    """A seed in a file that is not used would repeat one run under many names."""
    rule = "{class_path: lightning_fa.DirectFeedbackAlignment, init_args: {seed: 3}}"
    cli = run(tmp_path, f"{{class_path: lightning_fa.FeedbackStrategy, init_args: {{rule: {rule}}}}}", "fit")
    assert cli.trainer.strategy.rule == fa.DirectFeedbackAlignment(seed=3)
    by_name = run(tmp_path, "dfa", "fit")
    assert any(not torch.equal(a, b) for a, b in zip(weights(cli.model).values(), weights(by_name.model).values()))
    again = run(tmp_path, "dfa", "fit")
    assert_same(weights(by_name.model), weights(again.model))
