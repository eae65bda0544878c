"""The two tasks of cheung2019, and the loaders of their batches."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor

from replications.data import Dataset, batches, load
from replications.experiment.session import Session
from replications.papers.cheung2019.network import NETS
from replications.papers.cheung2019.settings import Settings

Tasks = Mapping[str, Dataset]


def tasks(session: Session) -> Tasks:
    """Standardised CIFAR-10 for the forward network and MNIST for the reverse network, or scikit-learn's digits for both."""
    settings: Settings = session.settings
    both = {"forward": standardised(session.data), "reverse": _second(session)}
    return {net: both[net].part(settings.train_samples, settings.test_samples) for net in NETS}


def _second(session: Session) -> Dataset:
    if session.data.name == "digits":
        # another task on the same images: the order of the classes is reversed
        return replace(
            session.data, train_labels=9 - session.data.train_labels, test_labels=9 - session.data.test_labels
        )
    return load("mnist", session.data_dir)


def standardised(data: Dataset) -> Dataset:
    """Mean 0 and standard deviation 1 of every input over the training samples; constant inputs become 0."""
    mean, std = data.train_inputs.mean(dim=0), data.train_inputs.std(dim=0)

    def scale(inputs: Tensor) -> Tensor:
        return (inputs - mean) / std.where(std > 0, torch.inf)

    return replace(data, train_inputs=scale(data.train_inputs), test_inputs=scale(data.test_inputs))


def train_stream(tasks: Tasks, settings: Settings, seed: int) -> CombinedLoader:
    """Batches {network: (x, y)}. An epoch is one pass over the larger data set. The smaller data set starts again at its end."""
    loaders = {
        net: batches(data.train_inputs, data.train_labels, settings.batch_size, shuffle_seed=seed + index)
        for index, (net, data) in enumerate(tasks.items())
    }
    return CombinedLoader(loaders, mode="max_size_cycle")


def held_out_stream(tasks: Tasks) -> CombinedLoader:
    """All test samples of both tasks. The two tasks have equally many."""
    return CombinedLoader({net: batches(d.test_inputs, d.test_labels, 1000) for net, d in tasks.items()}, "min_size")


def steps_per_epoch(tasks: Tasks, settings: Settings) -> int:
    """The number of steps in one pass over the larger data set."""
    return max(-(-len(data.train_labels) // settings.batch_size) for data in tasks.values())
