"""Where each block ends, where one forward pass calls a block several times: at the next block's entrance or at an output.

Where every block is called once the cut is at the entrance of the upper block. So it is here where every call of the upper
block takes the output of one call of the lower one. Elsewhere, as where two calls of an encoder are concatenated or a cell
is called again with its own state, there is no one entrance: the lower block is cut at its output, or at the output of the
largest module around it that returns nothing else, so that an activation behind a layer of ``nn.Sequential`` is inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.survey import Survey
from lightning_fa.wrappers import named_modules


def ended(model: nn.Module, seen: Survey, blocks: Sequence[Block]) -> list[Block]:
    """The blocks, in the order of their first calls, with :attr:`Block.often` and :attr:`Block.exit`.

    Passes one after the other, each of which calls every block once, stay as they are: each has an error of its own.

    Raises:
        ValueError: the last call is none of the head, or the head is called several times in one pass.
    """
    if _rounds(seen, blocks):
        return list(blocks)
    head = blocks[-1]
    if seen.calls(head.module) > 1 or any(seen.last(block.module) > seen.last(head.module) for block in blocks):
        raise ValueError(
            f"The head {head.name!r} must be called last, and once, where `forward` calls blocks several times: its output is "
            f"what the loss scores. It is called {seen.calls(head.module)} times here. Collect its inputs and call it once, as "
            "in `head(torch.stack(states, 1))`, or make the modules that are called several times one block with the head: name "
            "a module that contains them in `blocks=[...]`."
        )
    names = {module: name for name, module in named_modules(model)}
    result = []
    for block, following in pairwise(blocks):
        entered = seen.feeds(block.module, following.module)
        end = None if entered else _widest(names, seen, block, blocks)
        result.append(block._replace(often=seen.calls(block.module) > 1, exit=end))
    return [*result, head]


def _rounds(seen: Survey, blocks: Sequence[Block]) -> bool:
    calls = sorted((begin, i) for i, block in enumerate(blocks) for begin, _ in seen.spans[block.module])
    return [i for _, i in calls] == [*range(len(blocks))] * (len(calls) // len(blocks))


def _widest(names: dict[nn.Module, str], seen: Survey, block: Block, blocks: Sequence[Block]) -> nn.Module:
    """The largest module around ``block`` that returns its output, and begins no later block."""
    above = {m for other in blocks[blocks.index(block) + 1 :] for m in other.module.modules()}
    modules = {name: module for module, name in names.items()}
    parts, end = block.name.split("."), block.module
    for i in range(len(parts) - 1, 0, -1):
        around = modules.get(".".join(parts[:i]))
        if around is None or above & set(around.modules()) or not seen.returned_by(block.module, around):
            continue
        end = around
    return end
