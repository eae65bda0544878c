"""How a rule of each family is laid into a model. The only place that knows modules, and the only one with state."""

from lightning_fa.wiring.base import Wiring as Wiring
from lightning_fa.wiring.blocks import Block as Block
from lightning_fa.wiring.blocks import choose_blocks as choose_blocks
from lightning_fa.wiring.cut import CutWiring as CutWiring
from lightning_fa.wiring.ends import without as without
from lightning_fa.wiring.families import wire as wire
from lightning_fa.wiring.graph import LeakError as LeakError
from lightning_fa.wiring.refine import fit_to as fit_to
from lightning_fa.wiring.survey import Survey as Survey
from lightning_fa.wiring.survey import survey as survey
