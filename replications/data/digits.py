"""The 1797 digits of 8 x 8 pixels that come with scikit-learn, so that no download is needed."""

from dataclasses import replace

import torch

from replications.data.dataset import Dataset

TEST_SAMPLES = 297


def read(stand_in_for: str | None = None) -> Dataset:
    """1500 training and 297 test samples of a fixed random split, pixels divided by 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    inputs = torch.from_numpy(digits.images).float().div_(16).unsqueeze(1)[order]
    labels = torch.from_numpy(digits.target).long()[order]
    held_out = slice(None, TEST_SAMPLES)
    rest = slice(TEST_SAMPLES, None)
    digits_in_memory = Dataset("digits", inputs[rest], labels[rest], inputs[held_out], labels[held_out])
    return replace(digits_in_memory, stand_in_for=stand_in_for)
