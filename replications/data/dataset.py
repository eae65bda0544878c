"""A labelled data set as four tensors."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dataset:
    """Inputs are float tensors [samples, ...], labels are int64 tensors [samples]."""

    name: str
    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    stand_in_for: str | None = None

    @property
    def label(self) -> str:
        """The name to print. It ends in "(stand-in)" if these data stand in for the paper's data."""
        return f"{self.name} (stand-in)" if self.stand_in_for else self.name

    @property
    def width(self) -> int:
        """Numbers per sample."""
        return self.train_inputs[0].numel()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train_labels.max()) + 1

    def part(self, train: int | None, test: int | None, seed: int = 0) -> "Dataset":
        """A random part with `train` and `test` samples, fixed by `seed`. None keeps all samples."""
        chosen = _choose(len(self.train_labels), train, seed)
        tested = _choose(len(self.test_labels), test, seed)
        return replace(
            self,
            train_inputs=self.train_inputs[chosen],
            train_labels=self.train_labels[chosen],
            test_inputs=self.test_inputs[tested],
            test_labels=self.test_labels[tested],
        )

    def hold_out(self, count: int) -> "Dataset":
        """The data set whose last `count` training samples, at most a fifth of them, replace the test samples."""
        inputs, labels = self.train_inputs, self.train_labels
        kept = len(labels) - min(count, len(labels) // 5)
        return replace(
            self,
            train_inputs=inputs[:kept],
            train_labels=labels[:kept],
            test_inputs=inputs[kept:],
            test_labels=labels[kept:],
        )


def _choose(samples: int, count: int | None, seed: int) -> Tensor | slice:
    if count is None or count >= samples:
        return slice(None)
    return torch.randperm(samples, generator=torch.Generator().manual_seed(seed))[:count]
