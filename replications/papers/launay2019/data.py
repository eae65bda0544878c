"""CIFAR-10 as in the authors' code, and the samples that a run trains on and is tested on."""

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from replications.data import Dataset
from replications.papers.launay2019.network import COLOURS, SIDE
from replications.papers.launay2019.settings import Training

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def prepared(data: Dataset, settings: Training) -> Dataset:
    """Normalised images of 3 x 32 x 32. With `settings.held_out` the last training samples replace the test samples."""
    data = replace(data, train_inputs=_normalised(data.train_inputs), test_inputs=_normalised(data.test_inputs))
    if settings.held_out:
        return data.part(settings.train_samples, None, seed=1).hold_out(settings.held_out)
    return data.part(settings.train_samples, settings.test_samples)


@lru_cache(maxsize=2)  # training and test images, by identity: CIFAR-10 takes a second, and a short run takes four
def _normalised(images: Tensor) -> Tensor:
    if images.shape[1:] != (COLOURS, SIDE, SIDE):
        # these are the digits, which stand in for CIFAR-10
        images = interpolate(images, size=(SIDE, SIDE)).expand(-1, COLOURS, -1, -1)
    mean, std = (torch.tensor(numbers).reshape(1, COLOURS, 1, 1) for numbers in (MEAN, STD))
    return (images - mean) / std
