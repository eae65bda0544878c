"""How a rule of each family is laid into a model. The only place that knows modules, and the only one with state.

One question separates the families: *when is the error of a layer known?* ``families.py`` answers it with a class:

* layer by layer in backward (``transport.py``). Every layer that holds a weight asks its :class:`~.port.Port` in forward for W
  and for the backward weight that carries the error in place of W.
* at the output, in backward (``direct.py``; ``upward.py`` where W carries the error on from the first block).
* at the block, in forward (``local.py``).
* in forward as a guess, which the true error corrects (``synthetic.py``).

The last three cut the graph between blocks. An object of these files is a *delivery*: it says what crosses a cut, and what
happens at the output. Everything else is common, in objects that do one thing each:

* :class:`~.cut.Cut`: what the blocks of the model call in a forward pass. It asks the others in turn;
* :class:`~.course.Course`: which block was called, and the error where the order is wrong;
* :class:`~.block_feedback.BlockFeedback`: the shape of B, which depends on a block's output, and when B is drawn;
* :class:`~.store.Store`: where B lives, on the modules, in no ``state_dict``;
* :class:`~.step.Step`: the targets, and the terms that wait for the loss;
* :class:`~.isolation.Isolation`: the proof that no true gradient passes a cut, made once;
* :class:`~.settling.Settler`: gradients that are computed in the forward pass, where a block needs nothing from above.

A step of ``dfa`` reads: a block's forward calls :meth:`~.cut.Cut.enter`, which records the output h of the block below and hands
on ``h.detach()``. The head's forward calls :meth:`~.cut.Cut.leave`, which hands all h to one autograd node at the output
(``ops/route.py``). In backward that node receives e, and returns B e to every h. Inside a block autograd does the rest.

:class:`~.base.Wiring` is what :class:`lightning_fa.Attached` asks of a rule in a model.
"""

from lightning_fa.wiring.base import Wiring as Wiring
from lightning_fa.wiring.blocks import Block as Block
from lightning_fa.wiring.blocks import choose_blocks as choose_blocks
from lightning_fa.wiring.cut import Cut as Cut
from lightning_fa.wiring.ends import without as without
from lightning_fa.wiring.families import wire as wire
from lightning_fa.wiring.graph import LeakError as LeakError
from lightning_fa.wiring.refine import check_head as check_head
from lightning_fa.wiring.refine import fit_to as fit_to
from lightning_fa.wiring.survey import Survey as Survey
from lightning_fa.wiring.survey import survey as survey
