"""How a rule of each family is laid into a model. The only place that knows modules, and the only one with state."""

from lightning_fa.wiring.base import Wiring
from lightning_fa.wiring.blocks import Block, choose_blocks
from lightning_fa.wiring.direct import DirectWiring
from lightning_fa.wiring.transport import TransportWiring

__all__ = ["Block", "DirectWiring", "TransportWiring", "Wiring", "choose_blocks"]
