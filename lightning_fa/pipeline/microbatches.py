"""Divides a batch into parts, so that stages work on different parts at once."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from lightning_fa.wiring.tensors import tensors_in


def split(batch: Any, count: int) -> tuple[list[Any], list[float]]:
    """Up to ``count`` parts of ``batch``, and each part's share of the samples.

    Raises:
        ValueError: The tensors differ in their number of samples, or lie in other containers than tuples, lists and mappings.
    """
    leaves = [leaf for leaf in tree_flatten(batch)[0] if isinstance(leaf, Tensor)]
    sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves}
    if len(sizes) != 1 or len(leaves) != len(list(tensors_in(batch))):
        raise ValueError(
            f"`microbatches={count}` divides every tensor of a batch along its first dimension, but found the sizes "
            f"{sorted(sizes)} in a batch of type {type(batch).__name__}. Expected tuples, lists or mappings of tensors with one "
            "entry per sample. Use `microbatches=1` for other batches."
        )
    samples = sizes.pop()
    count = min(count, samples)
    parts = [
        tree_map(lambda x, i=i: x.tensor_split(count)[i] if isinstance(x, Tensor) else x, batch) for i in range(count)
    ]
    of = [leaves[0].tensor_split(count)[i].shape[0] for i in range(count)]
    return parts, [n / samples for n in of]
