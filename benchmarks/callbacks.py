"""The cost of the callbacks, in training steps: of one measurement of each, and of all callbacks when none is due.

    python -m benchmarks.callbacks [--out benchmarks/results/callbacks.json]

Each number is a ratio of two medians taken in one process, interleaved, so that the machine's load cancels.
Net: 784-800-800-800-10, tanh, batch 128, SGD, rule dfa (sg for the synthetic gradients), single device, no logger.
"""

import argparse
import json
import logging
import platform
import time
import warnings
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.functional import cross_entropy
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

NEVER = [10**9]


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        widths = [784, 800, 800, 800]
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.Tanh())]
        self.layers = nn.Sequential(*layers, nn.Linear(800, 10))

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        return cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Clock(Callback):
    """Records the seconds from the end of one batch to the end of the next."""

    def __init__(self):
        self.seconds, self.last = [], None

    def on_train_batch_end(self, trainer, *_):
        now = time.perf_counter()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now


def fit(callbacks, steps, rule="dfa"):
    torch.manual_seed(0)
    clock = Clock()
    x, y = torch.randn(128 * 20, 784), torch.randint(10, (128 * 20,))
    trainer = Trainer(
        max_steps=steps,
        max_epochs=10**6,
        accelerator="cpu",
        strategy=fa.FeedbackStrategy(rule),
        callbacks=[*callbacks, clock],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Net(), DataLoader(TensorDataset(x, y), batch_size=128))
    return clock.seconds


def cost(callback, rule="dfa", steps=56, every=8):
    """The cost of a measurement in training steps: (step with a measurement - step without) / step without, in one run."""
    callback.on_train_end = lambda *_: None
    seconds = fit([callback], steps, rule)[10:]
    # seconds[i] ends with batch i + 11. The callback measured before the step of this batch if the number is due.
    due = [s for i, s in enumerate(seconds, start=11) if i % every == 0]
    plain = [s for i, s in enumerate(seconds, start=11) if i % every]
    return (median(due) - median(plain)) / median(plain)


def idle(repeats=5, steps=40):
    """The time of a step with all callbacks, none of which is due, divided by that of a step without callbacks."""
    samples = torch.randn(1000, 784), torch.randint(10, (1000,))
    ratios = []
    for _ in range(repeats):
        watching = [
            AlignmentMonitor(NEVER),
            LinearProbes(samples, steps=NEVER),
            RepresentationMonitor(samples, steps=NEVER),
            WeightNorms(NEVER, change=False),
            GradientHealth(NEVER),
        ]
        for callback in watching:
            callback.on_train_end = lambda *_: None
        ratios.append(median(fit(watching, steps)[10:]) / median(fit([], steps)[10:]))
    return ratios


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "callbacks.json")
    out = options.parse_args().out
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    samples = torch.randn(1000, 784), torch.randint(10, (1000,))
    every = 8
    callbacks = {
        "AlignmentMonitor": lambda: AlignmentMonitor(every),
        "AlignmentMonitor(pseudobackprop=True)": lambda: AlignmentMonitor(every, pseudobackprop=True),
        "LinearProbes, 1000 samples": lambda: LinearProbes(samples, steps=every),
        "LinearProbes, 1000 samples, no input regression": lambda: LinearProbes(
            samples, steps=every, input_regression=False
        ),
        "RepresentationMonitor, 400 samples": lambda: RepresentationMonitor(samples, steps=every),
        "WeightNorms": lambda: WeightNorms(every),
        "GradientHealth": lambda: GradientHealth(every),
    }
    costs = {name: [cost(build()) for _ in range(3)] for name, build in callbacks.items()}
    costs["SyntheticGradientMonitor"] = [cost(SyntheticGradientMonitor(every), "sg") for _ in range(3)]
    result = {
        "what": "median cost of one measurement in training steps (3 runs), and the ratio of a step with all callbacks, "
        "none due, to a step without",
        "measurement_in_steps": {name: [round(v, 2) for v in values] for name, values in costs.items()},
        "overhead_percent_at_every_100_steps": {name: round(median(values), 2) for name, values in costs.items()},
        "idle_ratio": [round(ratio, 3) for ratio in idle()],
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, 1 thread",
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
