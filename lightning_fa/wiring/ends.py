"""Where each block ends: at the entrance of the next block, or at its own output.

Where every block is called once the cut is at the entrance of the upper block. So it is here where every call of the upper
block takes the output of one call of the lower one. Elsewhere, as where two calls of an encoder are concatenated or a cell
is called again with its own state, there is no one entrance: the lower block is cut at its output, or at the output of the
largest module around it that returns nothing else, so that an activation behind a layer of ``nn.Sequential`` is inside. So is
a block from which a connection passes the next one by: what is cut at its output carries no error, wherever it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.graph import LeakError
from lightning_fa.wiring.survey import Survey
from lightning_fa.wrappers import named_modules


def ended(model: nn.Module, seen: Survey, blocks: Sequence[Block]) -> list[Block]:
    """The blocks, in the order of their first calls, with :attr:`Block.often` and :attr:`Block.exit`.

    Passes one after the other, each of which calls every block once, have an error of their own each.

    Raises:
        ValueError: the last call is none of the head, the head is called several times in one pass, or there are two heads.
    """
    head = blocks[-1]
    heads = [block.name for i, block in enumerate(blocks[:-1]) if _scores(seen, block, blocks[i + 1 :])]
    if heads:
        raise ValueError(
            f"The network has several heads: what {', '.join(heads)} returns goes into no other block, beside {head.name!r}. An "
            f"error comes from one: leave the others to backpropagation with ungoverned={heads!r} (of a frozen network beside "
            "the one that learns, such as a teacher, name the whole there), or move all of them into one module that returns one "
            "tensor, and name it last in `blocks`."
        )
    if _rounds(seen, blocks):
        chain = all(seen.reaches(block.module, following.module) for block, following in pairwise(blocks))
        return list(blocks) if chain else _apart(model, seen, blocks)
    if seen.calls(head.module) > 1 or any(seen.last(block.module) > seen.last(head.module) for block in blocks):
        raise ValueError(
            f"The head {head.name!r} must be called last, and once, where `forward` calls blocks several times: its output is "
            f"what the loss scores. It is called {seen.calls(head.module)} times here. Collect its inputs and call it once, as "
            "in `head(torch.stack(states, 1))`, or make the modules that are called several times one block with the head: name "
            "a module that contains them in `blocks=[...]`."
        )
    return [block._replace(often=seen.calls(block.module) > 1) for block in _apart(model, seen, blocks)]


def without(leak: LeakError, model: nn.Module, seen: Survey, blocks: Sequence[Block]) -> list[Block]:
    """The blocks, of which those that do not simply feed the next one end at their own output, as does the one of ``leak``.

    Raises:
        LeakError: it does already.
    """
    if any(block.name == leak.lower and block.exit is not None for block in blocks):
        raise leak
    return _apart(model, seen, blocks, leak.lower)


def _apart(model: nn.Module, seen: Survey, blocks: Sequence[Block], leaving: str | None = None) -> list[Block]:
    """The blocks; those that do not feed the next one alone, and the one of the name ``leaving``, end at their own output."""
    result = []
    for block, following in pairwise(blocks):
        others = [other.module for other in blocks if other is not block]
        feeds = block.name != leaving and seen.feeds(block.module, following.module, others)
        result.append(block if block.exit is not None or feeds else _end_at_output(model, seen, block, blocks))
    return [*result, blocks[-1]]


def _end_at_output(model: nn.Module, seen: Survey, block: Block, blocks: Sequence[Block]) -> Block:
    # At that of the largest module around it that returns its output, and begins no later block.
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
    return seen.scores(block.module) and not any(seen.reaches(block.module, other.module) for other in later)


def _rounds(seen: Survey, blocks: Sequence[Block]) -> bool:
    calls = sorted((begin, i) for i, block in enumerate(blocks) for begin, _ in seen.spans[block.module])
    return [i for _, i in calls] == [*range(len(blocks))] * (len(calls) // len(blocks))
