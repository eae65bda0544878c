"""Puts a rule into a model. Only this package knows modules, and only this package holds state.

One question separates the families: *when is the error of a layer known?* ``families.py`` maps each answer to a class:

* layer by layer in backward (``transport/``). In forward, every layer with a weight asks its :class:`~.transport.port.Port`
  for W and for the backward weight, which carries the error in place of W.
* at the output, in backward (``direct.py``; ``upward.py`` if the network's own W carry the error on from the first block).
* at the block, in forward (``local.py``; ``shared.py`` if the blocks read the head's weight).
* at the block, in forward, as a prediction, which learns from the true error (``synthetic.py``).

The last three cut the graph between blocks. Each of their classes, in ``deliveries/``, says what crosses a cut, and what
happens at the output. The rest is common to all of them, in objects that do one thing each:

* :class:`~.cut.Cut`: the methods that blocks call in a forward pass. They call the other objects;
* ``passes/``, one forward pass: :class:`~.passes.step.Step`, the targets, and the terms to be joined to the loss;
  :class:`~.passes.course.Course`, which blocks were called, with an error if the order is wrong;
  :class:`~.passes.doors.Doors`, outputs that a further loss uses as well;
  :class:`~.passes.isolation.Isolation`, the proof that no true gradient passes a cut, made once;
  :class:`~.passes.settling.Settler`, gradients that are computed in the forward pass, if a block needs nothing from above;
* ``stores/``, the tensors B: :class:`~.stores.block_feedback.BlockFeedback`, their shape, which depends on a block's output,
  and when they are drawn; :class:`~.stores.store.Store`, which keeps them on the modules but in no ``state_dict``;
* ``blocks/``: which modules are the blocks, in which order they are called, and where each of them ends.

In a step of ``dfa``, a block's forward calls :meth:`~.cut.Cut.enter`, which records the output h of the block below and returns
``h.detach()``. The head's forward calls :meth:`~.cut.Cut.leave`, which connects all h to one autograd node at the output
(``ops/route.py``). In backward that node receives e, and returns B e to every h. Inside a block autograd does the rest.

:class:`~.base.Wiring` is the interface by which :class:`lightning_fa.Attached` uses a rule in a model.
"""

from lightning_fa.wiring.base import Wiring as Wiring
from lightning_fa.wiring.blocks.choice import Block as Block
from lightning_fa.wiring.blocks.choice import choose_blocks as choose_blocks
from lightning_fa.wiring.blocks.ends import laid_apart as laid_apart
from lightning_fa.wiring.blocks.refine import check_head as check_head
from lightning_fa.wiring.blocks.refine import fit_to as fit_to
from lightning_fa.wiring.blocks.survey import Survey as Survey
from lightning_fa.wiring.blocks.survey import survey as survey
from lightning_fa.wiring.cut import Cut as Cut
from lightning_fa.wiring.families import wire as wire
from lightning_fa.wiring.graph import LeakError as LeakError
