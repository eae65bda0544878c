"""Gathers objects that contain tensors on rank 0. The objects are pickled, and their tensors are sent as tensors."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, tensors: list[Tensor]) -> None:
        super().__init__(file)
        self.tensors = tensors

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return None
        self.tensors.append(obj.detach().cpu().contiguous())
        return len(self.tensors) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, tensors: list[Tensor]) -> None:
        super().__init__(file)
        self.tensors = tensors

    def persistent_load(self, index: Any) -> Tensor:
        return self.tensors[index]


def gather(value: Any, control: Any) -> list[Any] | None:
    """The ``value`` of every rank, on rank 0; ``None`` on the other ranks.

    Args:
        value: Anything that pickles.
        control: A gloo group of all ranks, or None for the group of the process.
    """
    if dist.get_rank() != 0:
        tensors: list[Tensor] = []
        _Pickler(file := io.BytesIO(), tensors).dump(value)
        dist.send_object_list([file.getvalue(), [(t.shape, t.dtype) for t in tensors]], 0, group=control)
        for tensor in tensors:
            dist.send(tensor, 0, group=control)
        return None
    found = [value]
    for rank in range(1, dist.get_world_size()):
        described: list[Any] = [None, None]
        dist.recv_object_list(described, rank, group=control)
        tensors = [torch.empty(shape, dtype=dtype) for shape, dtype in described[1]]
        for tensor in tensors:
            dist.recv(tensor, rank, group=control)
        found.append(_Unpickler(io.BytesIO(described[0]), tensors).load())
    return found
