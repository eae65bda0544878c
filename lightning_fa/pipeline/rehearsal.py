"""Records one pass of the whole network before it is divided: the costs, inputs and outputs of its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.tensors import entering, tensors_in


class Rehearsal:
    """The record of one pass. Made by :func:`observe`."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.keys: list[Any] = [None] * len(blocks)
        """Block -> the key of the input that comes from the block below."""
        self.flops: list[float] = [0.0] * len(blocks)
        """Block -> floating-point operations of the block, and of everything up to the next block."""
        self.outputs: list[list[Tensor]] = [[] for _ in blocks]
        """Block -> the tensors that the block returned."""
        self.between: dict[nn.Module, set[int]] = {}
        """Outermost module outside of blocks and without one -> the blocks behind which it was called, -1: before the first."""
        self.result: list[Tensor] = []
        """The tensors that the network returned."""
        self.at = -1
        self.inside = 0

    def entered(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.at, self.keys[index] = index, entering(args, kwargs)


class _Flops(TorchDispatchMode):
    """Counts operations for the block that was called last."""

    def __init__(self, seen: Rehearsal) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.seen.flops[max(self.seen.at, 0)] += count(*args, **kwargs, out_val=out)
        return out


def observe(root: nn.Module, blocks: Sequence[Block], run: Callable[[], Any]) -> Rehearsal:
    """Call ``run``, which makes one forward pass of ``root``, and record the pass."""
    seen, index_of = Rehearsal(blocks), {block.module: i for i, block in enumerate(blocks)}
    parts = {part for block in blocks for part in block.module.modules() if part is not block.module}
    with ExitStack() as stack:

        def watch(module: nn.Module, before: Any, after: Any) -> None:
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True, prepend=True).remove)
            stack.callback(module.register_forward_hook(after, always_call=True).remove)

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            seen.entered(index_of[module], args, kwargs)
            seen.inside += 1

        def leave(module: nn.Module, args: Any, out: Any) -> None:
            seen.inside -= 1
            seen.outputs[index_of[module]] = [t.detach().clone() for t in tensors_in(out)]

        def enter_between(module: nn.Module, args: Any, kwargs: Any) -> None:
            if not seen.inside:
                seen.between.setdefault(module, set()).add(seen.at)
            seen.inside += 1

        def leave_between(module: nn.Module, args: Any, out: Any) -> None:
            seen.inside -= 1

        for module in root.modules():
            if module in index_of:
                watch(module, enter, leave)
            elif module not in parts and not any(part in index_of for part in module.modules()):
                watch(module, enter_between, leave_between)
        with _Flops(seen):
            seen.result = [t.detach().clone() for t in tensors_in(run())]
    return seen


def departs(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether two runs of the same computation, perhaps on two devices, differ by more than 1 % of a tensor's largest entry."""
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        return True
    for a, b in zip(ours, theirs):
        a, b = a.detach().cpu().double(), b.detach().cpu().double()
        size = torch.nan_to_num(b).abs().max().item() if b.numel() else 0.0
        if not torch.allclose(a, b, rtol=0.0, atol=1e-2 * size, equal_nan=True):
            return True
    return False
