"""Where each block ends: at the entrance of the next block, or at its own output.

A block ends at the entrance of the next block if each call of the next block takes the output of one call of this block, and
this output goes nowhere else. Otherwise there is no single entrance, for example if two calls of an encoder are concatenated or
a cell is called again with its own state. The block then ends at its own output, or at the output of the largest module around
it that returns nothing else, so that an activation behind a layer of ``nn.Sequential`` is inside. A block whose output also
goes past the next block ends at its own output too: the connection then carries no error, wherever it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TypeVar

from torch import nn

from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.blocks.survey import Survey
from lightning_fa.wiring.graph import LeakError
from lightning_fa.wrappers import named_modules

T = TypeVar("T")


def ended(model: nn.Module, seen: Survey, blocks: Sequence[Block]) -> list[Block]:
    """The blocks, in the order of their first calls, with :attr:`Block.often` and :attr:`Block.exit`.

    If ``forward`` calls all blocks in order and then starts over, each round is a pass with an error of its own.

    Raises:
        ValueError: the head is not called last, the head is called several times in one pass, or there are several heads.
    """
    head = blocks[-1]
    heads = [block.name for i, block in enumerate(blocks[:-1]) if _scores(seen, block, blocks[i + 1 :])]
    if heads:
        raise ValueError(
            f"The network has several heads: what {', '.join(heads)} returns goes into no other block, nor does the output of "
            f"{head.name!r}. The error comes from one head. Leave the others to backpropagation with ungoverned={heads!r} (for a "
            "frozen network beside the network that learns, such as a teacher, name the whole network). Or move all heads into "
            "one module that returns one tensor, and name this module last in `blocks`. If they are the heads of separate "
            "networks, attach a rule to each network: `attach(model.part, ...)`."
        )
    if _rounds(seen, blocks):
        chain = all(seen.reaches(block.module, following.module) for block, following in pairwise(blocks))
        return list(blocks) if chain else _apart(model, seen, blocks)
    if seen.calls(head.module) > 1 or any(seen.last(block.module) > seen.last(head.module) for block in blocks):
        raise ValueError(
            f"The head {head.name!r} must be called last, and once, if `forward` calls blocks several times, because the loss "
            f"scores the head's output. The head is called {seen.calls(head.module)} times here. Collect its inputs and call it "
            "once, as in `head(torch.stack(states, 1))`. Or name in `blocks=[...]` a module that contains the head and the "
            "modules that are called several times."
        )
    return [block._replace(often=seen.calls(block.module) > 1) for block in _apart(model, seen, blocks)]


def laid_apart(model: nn.Module, seen: Survey, blocks: list[Block], lay: Callable[[list[Block]], T]) -> T:
    """What ``lay`` returns for blocks between which no true gradient leaks.

    Blocks that end at their own output are tried open first. After a leak the block where the connection begins, and blocks that
    do not feed the next block alone, end at their own output.

    Raises:
        LeakError: ``lay`` raises it for a block that ends at its own output already.
    """
    while True:
        try:
            if _opened(blocks) != blocks:
                with suppress(LeakError):
                    return lay(_opened(blocks))
            return lay(blocks)
        except LeakError as leak:
            if any(block.name == leak.lower and block.exit is not None for block in blocks):
                raise
            blocks = _apart(model, seen, blocks, leak.lower)


def _opened(blocks: Sequence[Block]) -> list[Block]:
    # None is open if a block is called several times, because its later calls may take outputs of earlier calls.
    often = any(block.often for block in blocks)
    return [block._replace(open=block.exit is not None and not often) for block in blocks]


def _apart(model: nn.Module, seen: Survey, blocks: Sequence[Block], leaving: str | None = None) -> list[Block]:
    """The blocks. Block ``leaving``, and blocks that do not feed the next block alone, end at their own output."""
    result = []
    for block, following in pairwise(blocks):
        others = [other.module for other in blocks if other is not block]
        feeds = block.name != leaving and seen.feeds(block.module, following.module, others)
        result.append(block if block.exit is not None or feeds else _end_at_output(model, seen, block, blocks))
    return [*result, blocks[-1]]


def _end_at_output(model: nn.Module, seen: Survey, block: Block, blocks: Sequence[Block]) -> Block:
    # The block ends at the output of the largest module around it that returns its output and contains no later block.
    above = {m for other in blocks[blocks.index(block) + 1 :] for m in other.module.modules()}
    modules = dict(named_modules(model))
    parts, end = block.name.split("."), block.module
    for i in range(len(parts) - 1, 0, -1):
        around = modules.get(".".join(parts[:i]))
        if around is None or above & set(around.modules()) or not seen.returned_by(block.module, around):
            continue
        end = around
    return block._replace(exit=end)


def _scores(seen: Survey, block: Block, later: Sequence[Block]) -> bool:
    return seen.scores(block.module) and not any(seen.enters(block.module, other.module) for other in later)


def _rounds(seen: Survey, blocks: Sequence[Block]) -> bool:
    calls = sorted((begin, i) for i, block in enumerate(blocks) for begin, _ in seen.spans[block.module])
    return [i for _, i in calls] == [*range(len(blocks))] * (len(calls) // len(blocks))
