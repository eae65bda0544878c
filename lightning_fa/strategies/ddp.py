"""Several processes with a replica each."""

from __future__ import annotations

from typing import ClassVar

from lightning.pytorch.strategies import DDPStrategy

from lightning_fa.strategies.base import FeedbackStrategyMixin


class DDPFeedbackStrategy(FeedbackStrategyMixin, DDPStrategy):
    """Several processes with a replica each; gradients are reduced by DDP as ever, and fixed feedback is never sent.

    ``dfa_ddp_spawn``, ``dfa_ddp_fork`` and ``dfa_ddp_notebook`` start their processes as Lightning's ``ddp_spawn`` and so on. As
    there, the weights come back from these processes, and nothing else: a second ``fit`` draws the feedback anew; to go on with
    what was learned, continue from a checkpoint.
    """

    variants: ClassVar = {
        "_ddp": {},
        "_ddp_spawn": {"start_method": "spawn"},
        "_ddp_fork": {"start_method": "fork"},
        "_ddp_notebook": {"start_method": "fork"},
    }
