"""Batches from tensors in memory, with one indexing operation per batch and no work per sample."""

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch.utils.data import Dataset as TorchDataset

Batch = tuple[Tensor, Tensor]


class _Rows(TorchDataset[Batch]):
    """A data set that takes a list of row numbers and returns these rows as one batch."""

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
    """A loader of batches of `size` samples.

    `shuffle_seed` fixes the orders of the epochs, each of which is new. If `shuffle_seed` is None, the order is the given one.
    The last batch is smaller if `size` does not divide the number of samples; `drop_last` leaves such a batch out.
    """
    rows = _Rows(inputs, labels)
    if shuffle_seed is None:
        order: SequentialSampler | RandomSampler = SequentialSampler(rows)
    else:
        order = RandomSampler(rows, generator=torch.Generator().manual_seed(shuffle_seed))
    return DataLoader(rows, batch_size=None, sampler=BatchSampler(order, size, drop_last=drop_last))
