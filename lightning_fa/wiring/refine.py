"""Automatic blocks, made finer and put in order by what a forward pass of an example shows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightning_fa.wiring.blocks import Block, Blocks, is_embedding, matches, units_in, weights_of
from lightning_fa.wiring.ends import ended
from lightning_fa.wiring.survey import Survey


def fit_to(
    model: nn.Module, seen: Survey, found: list[Block], chosen: Blocks, ungoverned: Sequence[str]
) -> list[Block]:
    """The blocks as ``forward`` calls them, with what ends each of them.

    A block that was found automatically and only calls its parts one after the other is replaced by these parts, and so on
    down, where the graph shows that no gradient passes their entrances by. Units of one class in one network are treated
    alike, so that all residual units stay whole where one must. Blocks that the user named are kept as they are.

    Raises:
        ValueError: a block is not called by ``forward``, the user's order is not that of the calls, or no head is called
            last.
    """
    _check_called(seen, found)
    in_order = sorted(found, key=lambda block: seen.first(block.module))
    if chosen is not None:
        if in_order != found:
            names = [block.name for block in in_order]
            raise ValueError(f"`blocks` must be in the order in which `forward` calls them: blocks={names!r}.")
        return ended(model, seen, found)
    refined = _refined(seen, in_order)
    return ended(model, seen, [block for block in refined if not matches(block.name, ungoverned)])


def check_head(model: nn.Module, found: Sequence[Block]) -> None:
    """Check that the block that is registered last, which would be the head, learns, unless ``model`` calls it last for sure.

    Raises:
        ValueError: it is frozen, as a teacher beside the network is: every block of the network would wait for its output.
    """
    head, below = found[-1], found[:-1]
    if below and not isinstance(model, nn.Sequential) and not any(p.requires_grad for p in head.module.parameters()):
        raise ValueError(
            f"Block {head.name!r} is registered last, so that its output would be scored, but all of it is frozen. If it belongs "
            "to a network beside this one, as a teacher, name that network in `ungoverned`. If it is the head, and stays as it "
            "is, pass `example=`, an input of the model (a LightningModule: set `example_input_array`), or name the blocks in "
            "`blocks`, the head last."
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
    """What the unit calls one after the other, at least two; nothing where it is no chain, or cannot be cut."""
    parts, inside = [unit], unit
    while len(parts) == 1 and not weights_of(inside.module):
        inside = parts[0]
        # Nothing passes below an embedding, so that it follows what stands above it.
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
    return (
        f"leave them out with ungoverned={names!r} (a frozen teacher, a network that another loss trains), or, where each of "
        "several networks shall learn by the rule, attach one to each: `attach(model.part, ...)`."
    )


def _widest(name: str, called: Sequence[str]) -> str:
    """The largest module that contains block ``name`` and none of ``called``."""
    parts = name.split(".")
    for i in range(1, len(parts)):
        container = ".".join(parts[:i])
        if not any(f"{other}.".startswith(f"{container}.") for other in called):
            return container
    return name
