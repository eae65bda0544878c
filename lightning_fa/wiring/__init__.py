"""How a rule of each family is laid into a model. The only place that knows modules, and the only one with state."""

from lightning_fa.wiring.base import Wiring
from lightning_fa.wiring.blocks import Block, choose_blocks
from lightning_fa.wiring.cut import CutWiring
from lightning_fa.wiring.direct import DirectWiring
from lightning_fa.wiring.ends import without
from lightning_fa.wiring.frozen import FrozenWiring
from lightning_fa.wiring.graph import LeakError
from lightning_fa.wiring.indirect import IndirectWiring
from lightning_fa.wiring.local import LocalWiring
from lightning_fa.wiring.refine import fit_to
from lightning_fa.wiring.survey import Survey, survey
from lightning_fa.wiring.synthetic import SyntheticWiring
from lightning_fa.wiring.transport import TransportWiring

__all__ = [
    "Block",
    "CutWiring",
    "DirectWiring",
    "FrozenWiring",
    "IndirectWiring",
    "LeakError",
    "LocalWiring",
    "Survey",
    "SyntheticWiring",
    "TransportWiring",
    "Wiring",
    "choose_blocks",
    "fit_to",
    "survey",
    "without",
]
