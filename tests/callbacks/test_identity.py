"""Several callbacks of one class in a Trainer: each measures what it was told to, and a resumed run knows them apart."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.callbacks import (
    AlignmentMonitor,
    GradientHealth,
    LinearProbes,
    RepresentationMonitor,
    SyntheticGradientMonitor,
    WeightNorms,
)
from tests.callbacks.net import Net, data

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")

PAIR, OTHER = data(seed=3)[1], data(seed=4)[1]


def probes(*layers):
    return LinearProbes(PAIR, layers=layers, steps=2, converged=False, figures=False)


def run(tmp_path, steps, ckpt=None):
    callbacks = [probes("net.0"), probes("net.4")]
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
    trainer.fit(Net(), DataLoader(TensorDataset(*PAIR), batch_size=8), ckpt_path=ckpt, weights_only=True)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return callbacks


def test_two_probes_of_other_layers_measure_side_by_side_and_resume_as_themselves(tmp_path):
    """Lightning refuses two states under one key; and were it not to, the second would resume with those of the first."""
    first = run(tmp_path, 4)
    names = [{name.split("/")[1] for name in callback.latest} for callback in first]
    assert names == [{"net.0"}, {"net.4"}]
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    assert [saved[callback.state_key]["latest"] for callback in first] == [callback.latest for callback in first]
    again = run(tmp_path, 4, tmp_path / "last.ckpt")  # nothing is left to do
    assert [callback.latest for callback in again] == [callback.latest for callback in first]


DIFFERING = [
    (LinearProbes, (PAIR,), {}),
    (LinearProbes, (OTHER,), {}),
    (LinearProbes, (PAIR, OTHER), {}),
    *[(LinearProbes, (PAIR,), {"layers": layers}) for layers in (["net.0"], ["net.4"], ["net.0", "net.4"])],
    *[(LinearProbes, (PAIR,), {"penalty": p}) for p in (1e-2, 1e-3)],
    (LinearProbes, (PAIR,), {"logistic_penalty": 1e-2}),
    (LinearProbes, (PAIR,), {"classes": 5}),
    (LinearProbes, (PAIR,), {"converged": False}),
    (LinearProbes, (PAIR,), {"input_regression": False}),
    *[(LinearProbes, (PAIR,), {"steps": steps}) for steps in (5, (5,), (5, 10))],
    (RepresentationMonitor, (PAIR,), {}),
    (RepresentationMonitor, (OTHER,), {}),
    (RepresentationMonitor, (PAIR,), {"size": 8}),
    (RepresentationMonitor, (PAIR,), {"layers": ["net.0"]}),
    (AlignmentMonitor, (), {}),
    (AlignmentMonitor, (), {"pseudobackprop": True}),
    (AlignmentMonitor, (), {"batch": list(PAIR)}),
    (AlignmentMonitor, (), {"batch": {"x": PAIR[0]}}),
    (AlignmentMonitor, (), {"targets": "label"}),
    (AlignmentMonitor, (), {"loss": run}),
    (SyntheticGradientMonitor, (), {}),
    (SyntheticGradientMonitor, (), {"targets": 0}),
    (WeightNorms, (), {}),
    (WeightNorms, (), {"change": False}),
    (WeightNorms, (), {"histograms": False}),
    *[
        (GradientHealth, (), settings)
        for settings in ({}, {"steps": 7}, {"patience": 1}, {"dead": 5}, {"explosion": 9})
    ],
]


def keys():
    return [kind(*positional, **named).state_key for kind, positional, named in DIFFERING]


def test_callbacks_that_measure_something_else_have_other_keys():
    assert len(set(keys())) == len(DIFFERING)


def test_a_key_is_the_same_in_another_process():
    """With an address or the order of a set in it, a resumed run would find no state, and start its history anew."""
    code = "import tests.callbacks.test_identity as t; print(repr(t.keys()))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == repr(keys())
