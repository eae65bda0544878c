"""Checkpoints of a pipeline: one file with all stages, which any number of stages can continue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lightning.fabric.utilities.distributed import _distributed_is_initialized
from lightning.fabric.utilities.optimizer import _optimizer_to_device
from torch.optim import Optimizer

from lightning_fa.pipeline.division import Division
from lightning_fa.pipeline.gathering import gather
from lightning_fa.strategies.base import FeedbackStrategyMixin
from lightning_fa.strategies.pipeline_processes import StageProcesses

T = TypeVar("T")


class StageCheckpoints(FeedbackStrategyMixin, StageProcesses):
    """Abstract. Gathers the whole network on rank 0 for saving, and gives each stage its part of a loaded checkpoint."""

    _division: Division | None = None
    _in_parts = False
    """Whether training has failed, so that this process was left with the weights of its own stage."""

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return self._with_whole(super().lightning_module_state_dict)

    def save_checkpoint(self, checkpoint: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if self._division is None or not self.rule.learned:
            return super().save_checkpoint(checkpoint, *args, **kwargs)
        return self._with_whole(lambda: super(StageCheckpoints, self).save_checkpoint(checkpoint, *args, **kwargs))

    def _with_whole(self, then: Callable[[], T]) -> T:
        if self._in_parts:
            raise RuntimeError(
                "The training of this pipeline has failed, and each process has the weights of its own stage only. Use the last "
                "checkpoint that was saved during `fit`."
            )
        if self._division is None:
            return then()
        self._division.weights.collect()
        try:
            return then()
        finally:
            self._division.weights.drop(self.root_device)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state: dict[str, Any] = super().optimizer_state(optimizer)
        # After `fit` as well: the weights are whole then, but each process keeps the optimizer state of its own stage.
        if not _distributed_is_initialized():
            return state
        parts = gather(state["state"], self._control)
        if parts is not None:
            state["state"] = {key: value for part in parts for key, value in part.items()}
        return state

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        if self._division is None:
            return super().load_model_state_dict(checkpoint, *args, **kwargs)
        self._division.weights.make_room()
        try:
            super().load_model_state_dict(checkpoint, *args, **kwargs)
        finally:
            self._division.weights.drop(self.root_device)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        assert self._division is not None
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"]):
            held = [p for group in optimizer.param_groups for p in group["params"]]
            own = {i: s for i, s in saved["state"].items() if self._division.weights.owns(held[i])}
            optimizer.load_state_dict({**saved, "state": own})
            _optimizer_to_device(optimizer, self.root_device)
