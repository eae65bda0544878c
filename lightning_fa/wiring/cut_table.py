"""The table of blocks: the weights in each block, the weights around it that learn by its error, and its feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.base import Row
from lightning_fa.wiring.blocks.choice import Block, weights_of
from lightning_fa.wiring.stores.block_feedback import BlockFeedback
from lightning_fa.wrappers import named_modules, named_parameters

LEFT = "none of the rule's: ungoverned, frozen, or not used"


def rows_of(
    root: nn.Module,
    blocks: Sequence[Block],
    feedback: BlockFeedback,
    owned: Mapping[str, Sequence[Tensor]],
    adopted: Sequence[nn.Module],
) -> list[Row]:
    """One row per block, and one row for the weights of ``root`` that learn by no block's error.

    Args:
        root: The model.
        blocks: The last is the head.
        feedback: The feedback of the blocks.
        owned: Block -> the parameters that its error governs; empty if that is not known (yet).
        adopted: The modules of the blocks.
    """
    rows = [_row(block, feedback) for block in blocks]
    if not any(place.cut for place in feedback.places.values()):
        return rows
    inside = {id(p) for module in adopted for p in module.parameters()}
    names = {id(p): n for n, p in named_parameters(root) if p.ndim >= 2 and FEEDBACK not in n}
    around = {key: name for key, name in names.items() if key not in inside}
    lost, error = list(around.values()), "the error of the block that they reach"
    reached = {id(p) for each in owned.values() for p in each if isinstance(p, nn.Parameter)}
    if reached and reached <= {id(p) for _, p in named_parameters(root)}:  # no parameter was replaced since
        lost, error = [n for key, n in names.items() if key not in reached], LEFT
    for i, row in enumerate(rows):
        more = [around[id(p)] for p in owned.get(row.name, ()) if id(p) in around]
        rows[i] = row._replace(governs=", ".join([row.governs, *more]))
    return [*rows, Row("-", "-", ", ".join(lost), error, "-")] if lost else rows


def _row(block: Block, feedback: BlockFeedback) -> Row:
    weights = [
        f"{name}.{weight}".lstrip(".") for name, module in named_modules(block.module) for weight in weights_of(module)
    ]
    place = feedback.places.get(block.name)
    error = "e, the true error" if place is None else place.error
    return Row(block.name, type(block.module).__name__, ", ".join(weights), error, feedback.shapes(block.name))
