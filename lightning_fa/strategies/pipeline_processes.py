"""The processes of a pipeline: how they start, and how rank 0 decides for all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.utilities.distributed import (
    _distributed_is_initialized,
    _get_default_process_group_backend_for_device,
    _init_dist_connection,
)
from lightning.fabric.utilities.rank_zero import rank_zero_only as fabric_rank_zero_only
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

T = TypeVar("T")


class StageProcesses(ParallelStrategy):
    """Abstract. Processes that share one batch and one loss. Rank 0 has the true loss and decides for all.

    Args:
        process_group_backend: As for ``DDPStrategy``: NCCL on GPUs, else gloo.
        timeout: For operations of the process group.
        start_method: As for ``DDPStrategy``.
        **kwargs: Passed to ``ParallelStrategy``.
    """

    is_distributed = False
    """Tells Lightning to give all ranks the same data, and not to average what the ranks log."""

    def __init__(
        self,
        *,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        start_method: Literal["popen", "spawn", "fork", "forkserver"] = "popen",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_nodes = 1
        self._backend, self._timeout, self._start_method = process_group_backend, timeout, start_method
        self._control: Any = None  # The group of the process is not held: its threads end when nobody holds it.

    @property
    def root_device(self) -> torch.device:
        assert self.parallel_devices is not None
        return self.parallel_devices[self.local_rank]

    @property
    def num_processes(self) -> int:
        return len(self.parallel_devices or ())

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if self._start_method == "popen":
            self._launcher = _SubprocessScriptLauncher(self.cluster_environment, self.num_processes, self.num_nodes)
        else:
            self._launcher = _MultiProcessingLauncher(self, start_method=self._start_method)

    def set_world_ranks(self) -> None:
        """Tell the environment and Lightning's logging which process this is."""
        if self.cluster_environment is not None:
            self.cluster_environment.set_global_rank(self.node_rank * self.num_processes + self.local_rank)
            self.cluster_environment.set_world_size(self.num_nodes * self.num_processes)
        for decorator in (rank_zero_only, fabric_rank_zero_only):
            decorator.__dict__["rank"] = self.global_rank

    def setup_environment(self) -> None:
        environment = self.cluster_environment
        assert environment is not None
        reset_seed()
        self.set_world_ranks()
        if not _distributed_is_initialized():
            backend = self._backend or _get_default_process_group_backend_for_device(self.root_device)
            _init_dist_connection(environment, backend, timeout=self._timeout)
        if self._control is None and dist.get_backend() != "gloo":
            self._control = dist.new_group(backend="gloo", timeout=self._timeout)
        super().setup_environment()

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        if _distributed_is_initialized():
            dist.barrier(group=self._control)

    def broadcast(self, obj: T, src: int = 0) -> T:
        if not _distributed_is_initialized():
            return obj
        objects = [obj]
        dist.broadcast_object_list(objects, src, group=self._control)
        return objects[0]

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Rank 0's value. The values of other ranks were computed from placeholders."""
        return self.broadcast(tensor.detach().cpu()).to(tensor.device) if isinstance(tensor, Tensor) else tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:  # noqa: A002 (Lightning names it so)
        """Rank 0's decision."""
        return self.broadcast(decision)

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """The tensor itself, as in one process: all ranks share one batch and one loss."""
        return tensor
