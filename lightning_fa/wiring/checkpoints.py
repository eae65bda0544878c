"""Activation checkpoints: whether one is recorded or recomputed now, and how to save tensors outside of a checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks


def recomputing() -> bool:
    """Whether a non-reentrant checkpoint runs a forward pass again, inside backward. Nothing is recorded then."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def in_checkpoint() -> bool:
    """Whether an activation checkpoint is being recorded. A backward pass inside it would recompute the whole checkpoint."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    return hooks is not None and getattr(hooks[0], "__module__", "") == "torch.utils.checkpoint"


def outside_checkpoints() -> AbstractContextManager[Any]:
    """Inside the context, tensors that the library saves do not count as a block's own for an activation checkpoint."""
    if torch.compiler.is_compiling() or not in_checkpoint():
        return nullcontext()
    return saved_tensors_hooks(_same, _same)


def _same(saved: Any) -> Any:
    return saved
