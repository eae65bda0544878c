"""Automatic blocks, split further and put in order after a forward pass of an example."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightning_fa.wiring.blocks.choice import (
    Block,
    Blocks,
    is_embedding,
    matches,
    under_first_names,
    units_in,
    weights_of,
)
from lightning_fa.wiring.blocks.ends import ended
from lightning_fa.wiring.blocks.survey import Survey


def fit_to(
    model: nn.Module, seen: Survey, found: list[Block], chosen: Blocks, ungoverned: Sequence[str]
) -> list[Block]:
    """The blocks in the order in which ``forward`` calls them, each with the place where it ends.

    A block that was found automatically is replaced by its parts if it calls them one after the other and the graph shows that
    all gradients pass through their entrances. The parts are split further in the same way. Units of one class in one network
    are treated alike, so that all residual units stay whole if one must. Blocks that the user named are kept as they are.

    Raises:
        ValueError: ``forward`` does not call a block, the user's order is not the order of the calls, or the head is not called
            last.
    """
    _check_called(seen, found)
    in_order = sorted(found, key=lambda block: seen.first(block.module))
    if chosen is not None:
        if in_order != found:
            names = [block.name for block in in_order]
            raise ValueError(f"`blocks` must be in the order in which `forward` calls them: blocks={names!r}.")
        return ended(model, seen, found)
    refined = under_first_names(model, _refined(seen, in_order))
    return ended(model, seen, [block for block in refined if not matches(block.name, ungoverned)])


def check_head(model: nn.Module, found: Sequence[Block]) -> None:
    """Check that the block registered last, which would be the head, learns. An ``nn.Sequential`` calls it last in any case.

    Raises:
        ValueError: the block is frozen. If it is a teacher beside the network, the network would never reach its head.
    """
    head, below = found[-1], found[:-1]
    if below and not isinstance(model, nn.Sequential) and not any(p.requires_grad for p in head.module.parameters()):
        raise ValueError(
            f"Block {head.name!r} is registered last, so that its output would be scored, but all of it is frozen. If the block "
            "belongs to another network, such as a teacher, name that network in `ungoverned`. If the block is the head, and "
            "shall stay frozen, pass `example=`, an input of the model (a LightningModule: set `example_input_array`), or name "
            "the blocks in `blocks`, with the head last."
        )


def _refined(seen: Survey, units: list[Block]) -> list[Block]:
    parts = {unit.name: _parts(seen, unit) for unit in units}
    whole = {type(unit.module) for unit in units if not parts[unit.name]}
    result: list[Block] = []
    for unit in units:
        finer = parts[unit.name]
        result += [unit] if type(unit.module) in whole else _refined(seen, finer)
    return result


def _parts(seen: Survey, unit: Block) -> list[Block]:
    """The parts that the unit calls one after the other, at least two; empty if the unit is no chain or cannot be cut."""
    parts, inside = [unit], unit
    while len(parts) == 1 and not weights_of(inside.module):
        inside = parts[0]
        # No error is sent below an embedding: it is trained with the block that consumes its output.
        parts = [part for part in units_in(inside) if not is_embedding(part.module)]
    parts.sort(key=lambda block: seen.first(block.module))
    chain = len(parts) > 1 and seen.in_turn(parts) and all(seen.separates(part.module) for part in parts[1:])
    return parts if chain else []


def _check_called(seen: Survey, blocks: list[Block]) -> None:
    idle = [block.name for block in blocks if not seen.calls(block.module)]
    if idle:
        raise ValueError(f"`forward` does not call {', '.join(idle)} on the example: {idle_advice(blocks, idle)}")


def idle_advice(blocks: Sequence[Block], idle: Sequence[str]) -> str:
    """What to do about blocks that ``forward`` never calls."""
    called = [block.name for block in blocks if block.name not in idle]
    names = sorted({_widest(name, called) for name in idle})
    advice = (
        "If training calls them (`forward` is a part of what `training_step` computes, or runs without gradients), leave out "
        "`example=` (a LightningModule: `example_input_array = None`): the first training step then shows the blocks."
    )
    if not called:
        return advice
    return (
        f"{advice} If training does not call them, or another loss trains them (a frozen teacher), leave them out with "
        f"ungoverned={names!r}. If several networks shall learn by the rule, attach a rule to each: `attach(model.part, ...)`."
    )


def _widest(name: str, called: Sequence[str]) -> str:
    """The largest module that contains block ``name`` and none of ``called``."""
    parts = name.split(".")
    for i in range(1, len(parts)):
        container = ".".join(parts[:i])
        if not any(f"{other}.".startswith(f"{container}.") for other in called):
            return container
    return name
