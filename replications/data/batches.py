"""Batches cut from tensors in memory: one indexing operation per batch, nothing per sample."""

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch.utils.data import Dataset as TorchDataset

Batch = tuple[Tensor, Tensor]


class _Rows(TorchDataset[Batch]):
    """Samples addressed by a whole list of row numbers at once."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows)
        return self.inputs[index], self.labels[index]


def batches(
    inputs: Tensor, labels: Tensor, size: int, shuffle_seed: int | None = None, *, drop_last: bool = False
) -> DataLoader[Batch]:
    """A loader of batches; a new order in every epoch from `shuffle_seed`, or the given order if that is None.

    The last batch is smaller when `size` does not divide the number of samples, or left out with `drop_last`.
    """
    rows = _Rows(inputs, labels)
    if shuffle_seed is None:
        order: SequentialSampler | RandomSampler = SequentialSampler(rows)
    else:
        order = RandomSampler(rows, generator=torch.Generator().manual_seed(shuffle_seed))
    return DataLoader(rows, batch_size=None, sampler=BatchSampler(order, size, drop_last=drop_last))
