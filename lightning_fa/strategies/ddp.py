"""The strategy for several processes, each with a replica of the network."""

from __future__ import annotations

from typing import ClassVar

from lightning.pytorch.strategies import DDPStrategy

from lightning_fa.strategies.base import FeedbackStrategyMixin


class DDPFeedbackStrategy(FeedbackStrategyMixin, DDPStrategy):
    """Several processes, each with a replica of the network. DDP reduces the gradients. Fixed feedback is never sent.

    ``dfa_ddp_spawn``, ``dfa_ddp_fork`` and ``dfa_ddp_notebook`` start their processes as Lightning's ``ddp_spawn``,
    ``ddp_fork`` and ``ddp_notebook`` do. Only the weights come back from these processes. A second ``fit`` therefore draws new
    feedback; to keep learned feedback, continue from a checkpoint.
    """

    variants: ClassVar = {
        "_ddp": {},
        "_ddp_spawn": {"start_method": "spawn"},
        "_ddp_fork": {"start_method": "fork"},
        "_ddp_notebook": {"start_method": "fork"},
    }
