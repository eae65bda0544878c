"""The strategy for parameters sharded by ``FullyShardedDataParallel``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.fabric.utilities.load import _METADATA_FILENAME
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.optim import Optimizer

from lightning_fa.strategies.base import FeedbackStrategyMixin
from lightning_fa.surgery import strip_feedback
from lightning_fa.training_step import check_same_rule


class FSDPFeedbackStrategy(FeedbackStrategyMixin, FSDPStrategy):
    """Shards all parameters, learned feedback included. As under the stock strategy, the module stays sharded after ``fit``.
    The rule stays attached. Checkpoints load into the unsharded module.

    Unlike the stock strategy, this strategy also runs on CPU (gloo), so that a set-up can be tried without a GPU.
    """

    variants: ClassVar = {"_fsdp": {}}
    releases = False

    def _setup_model(self, model: nn.Module) -> nn.Module:
        from torch.distributed.fsdp import FullyShardedDataParallel

        if self.root_device.type == "cpu" and not any(isinstance(m, FullyShardedDataParallel) for m in model.modules()):
            # The stock strategy passes the device as an index, and FSDP reads every index as that of a GPU.
            model = FullyShardedDataParallel(
                model,
                cpu_offload=self.cpu_offload,
                mixed_precision=self.mixed_precision_config,
                sharding_strategy=self.sharding_strategy,
                auto_wrap_policy=self.kwargs.pop("auto_wrap_policy", None),
                device_id=self.root_device,
                **self.kwargs,
            )
        model = super()._setup_model(model)
        # Registered after FSDP's own hook, which expects every parameter that FSDP knows.
        model._register_state_dict_hook(_strip)
        return model

    def lightning_module_state_dict(self) -> dict[str, Any]:
        if not self._gathers_on_cpu:
            return super().lightning_module_state_dict()
        assert self.model is not None
        with _without_copy(self.model):
            return self.model.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        if not self._gathers_on_cpu:
            return super().optimizer_state(optimizer)
        from torch.distributed.fsdp import FullyShardedDataParallel, OptimStateKeyType

        model = self.model
        assert model is not None
        optimizer = getattr(optimizer, "optimizer", optimizer)
        with _without_copy(model):
            state: dict[str, Any] = FullyShardedDataParallel.optim_state_dict(model, optimizer)
            if self.global_rank == 0:
                state = FullyShardedDataParallel.rekey_optim_state_dict(state, OptimStateKeyType.PARAM_ID, model)
        return state

    @property
    def _gathers_on_cpu(self) -> bool:
        return self._state_dict_type == "full" and self.root_device.type == "cpu"

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        if self._fitting:
            check_same_rule(self._attach(), peek(self.broadcast(checkpoint_path), weights_only))
        return super().load_checkpoint(checkpoint_path, weights_only)


def _without_copy(model: nn.Module) -> AbstractContextManager[Any]:
    """Inside the context, whole tensors are gathered on rank 0, on the device where the shards are.

    The stock strategy sets `offload_to_cpu=True`. FSDP then relies on the copy from GPU to CPU. No copy is made of a CPU tensor:
    all moments of a parameter would be views of one buffer that each gathering overwrites, so that the checkpoint would hold
    Adam's second moment under the name of the first. Before PyTorch 2.14 the weights are read after they were freed.
    """
    from torch.distributed.fsdp import (
        FullOptimStateDictConfig,
        FullStateDictConfig,
        FullyShardedDataParallel,
        StateDictType,
    )

    configs = FullStateDictConfig(rank0_only=True), FullOptimStateDictConfig(offload_to_cpu=False, rank0_only=True)
    return FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT, *configs)


def _strip(module: nn.Module, state_dict: dict[str, Any], prefix: str, metadata: Any) -> dict[str, Any]:
    return strip_feedback(state_dict)


def peek(path: str | Path, weights_only: bool | None) -> dict[str, Any]:
    """A checkpoint (a file or a folder) opened by memory map, so that weights and optimizer state are not read.

    The strategies compare the checkpoint's rule with their own before the stock strategy loads weights and optimizer state.
    """
    path = Path(path)
    file = path / _METADATA_FILENAME if path.is_dir() else path
    checkpoint: dict[str, Any] = torch.load(file, mmap=True, map_location="cpu", weights_only=weights_only)
    return checkpoint
