"""Activation checkpoints: what runs a second time inside backward, and what the library saves in between."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks


def recomputing() -> bool:
    """Whether a non-reentrant checkpoint runs a forward pass again, inside backward. Nothing is recorded then."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def in_checkpoint() -> bool:
    """Whether an activation checkpoint is being recorded, in which a backward pass would run all of it once more."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top is None:  # before PyTorch 2.8 nobody can tell
        return True
    hooks = top(False)
    return hooks is not None and getattr(hooks[0], "__module__", "") == "torch.utils.checkpoint"


def outside_checkpoints() -> AbstractContextManager[Any]:
    """Where a block lies in an activation checkpoint, what the library saves must not count as the block's own."""
    if torch.compiler.is_compiling() or not in_checkpoint():
        return nullcontext()
    return saved_tensors_hooks(_same, _same)


def _same(saved: Any) -> Any:
    return saved
