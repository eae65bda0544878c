"""Several processes with a part of the network each."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.fabric.utilities.distributed import (
    _distributed_is_initialized,
    _get_default_process_group_backend_for_device,
    _init_dist_connection,
)
from lightning.fabric.utilities.optimizer import _optimizer_to_device
from lightning.fabric.utilities.rank_zero import rank_zero_only as fabric_rank_zero_only
from lightning.fabric.utilities.seed import pl_worker_init_function, reset_seed
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.optim import Optimizer

from lightning_fa.pipeline.clipping import clip_by_norm
from lightning_fa.pipeline.division import Division
from lightning_fa.pipeline.fingerprint import fingerprint
from lightning_fa.pipeline.gathering import gather
from lightning_fa.pipeline.metrics import TrueMetrics
from lightning_fa.pipeline.microbatches import split
from lightning_fa.pipeline.refusals import check_module, check_optimizers, check_rule, check_trainer
from lightning_fa.pipeline.stages import Stages
from lightning_fa.rehearsal import look_at, run_example
from lightning_fa.rules import Rule
from lightning_fa.strategies.base import FeedbackStrategyMixin
from lightning_fa.wiring import Block, CutWiring, choose_blocks, fit_to

T = TypeVar("T")


class PipelineFeedbackStrategy(FeedbackStrategyMixin, ParallelStrategy):
    """Several processes with a stage of the network each: ``Trainer(strategy="lafs_pipeline", devices=2)``.

    For local rules, and for direct ones with ``microbatches=``. All ranks run the module's own ``training_step`` on the same
    batch; a rank computes the blocks of its stage, and sends what enters the next stage on. Under a local rule no stage waits
    for one above it; under a direct rule the error at the output goes to all of them at once. Weights after any number of steps
    are those of one process. Rank 0 runs the last stage: what it logs is true, and decides.

    The module needs ``example_input_array``, from which the stages are found. Each rank keeps parameters, gradients and
    optimizer state of its own stage; checkpoints are one file with all of them, which any number of stages continues. After
    ``fit`` the module is whole on every rank.

    Args:
        rule: A rule or its registry name.
        blocks: See :func:`lightning_fa.attach`.
        targets: See :class:`FeedbackStrategyMixin`.
        ungoverned: See :func:`lightning_fa.attach`.
        stages: Name patterns of every stage's blocks, from the input to the output: ``[["net.0", "net.2"], ["net.4"]]``.
            Default: equal numbers of floating-point operations.
        microbatches: Of direct rules: into how many parts a batch is divided, so that all stages compute at once. The module's
            ``training_step`` is called once for each; its loss must be a mean over samples.
        process_group_backend: As for ``DDPStrategy``: NCCL on GPUs, else gloo.
        timeout: For operations of the process group.
        start_method: As for ``DDPStrategy``.
        **kwargs: Of ``ParallelStrategy``.

    Raises:
        MisconfigurationException: when it is made, for a rule whose errors travel from block to block; before training, for
            what cannot be exact in parts.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "_pipeline": {},
        "_pipeline_spawn": {"start_method": "spawn"},
        "_pipeline_fork": {"start_method": "fork"},
        "_pipeline_notebook": {"start_method": "fork"},
    }
    is_distributed = False
    """To Lightning: all ranks are given the same data, and what they log is not averaged."""

    def __init__(
        self,
        rule: str | Rule = "lafs",
        *,
        stages: Stages = None,
        microbatches: int = 1,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        start_method: Literal["popen", "spawn", "fork", "forkserver"] = "popen",
        **kwargs: Any,
    ) -> None:
        super().__init__(rule, **kwargs)
        check_rule(self.rule, microbatches)
        self.stages, self.microbatches = stages, microbatches
        self.num_nodes = 1
        self._backend, self._timeout, self._start_method = process_group_backend, timeout, start_method
        self._control: dist.ProcessGroup | None = None
        self._division: Division | None = None
        self._metrics: TrueMetrics | None = None
        self._failed = False

    # -- processes --------------------------------------------------------------------------------------------------------

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
        self._failed = False
        if not _distributed_is_initialized():
            backend = self._backend or _get_default_process_group_backend_for_device(self.root_device)
            _init_dist_connection(environment, backend, timeout=self._timeout)
        if self._control is None:
            group: Any = dist.group.WORLD
            if dist.get_backend() != "gloo":
                group = dist.new_group(backend="gloo", timeout=self._timeout)
            self._control = group
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
        """Rank 0's: the others' are of placeholders."""
        return self.broadcast(tensor.detach().cpu()).to(tensor.device) if isinstance(tensor, Tensor) else tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:  # noqa: A002 (Lightning names it so)
        """Rank 0's."""
        return self.broadcast(decision)

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """As in one process: there is one loss, and one batch."""
        return tensor

    # -- the network in stages ----------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer) -> None:
        module = self.lightning_module
        assert module is not None
        check_trainer(trainer, self.precision_plugin)
        check_module(module, self.microbatches)
        super().setup(trainer)

    def model_to_device(self) -> None:
        module = self.lightning_module
        assert module is not None
        wiring: Any = self.attached._wiring if self._fitting else None  # it cuts: `check_rule` has refused all others
        division = Division(
            module,
            self._blocks() if wiring is None else wiring.blocks,
            wiring,
            self.stages,
            functools.partial(self._run_example, wiring),
            self.root_device,
            self._control,
        )
        self._division = division
        division.install()
        module.to(self.root_device)
        division.prove()
        self._metrics = TrueMetrics(module, self._control, division.synchronise)

    def _blocks(self) -> list[Block]:
        module = self.lightning_module
        assert module is not None
        patterns = [self.ungoverned] if isinstance(self.ungoverned, str) else list(self.ungoverned)
        chosen = choose_blocks(module, self.blocks, patterns)
        with self.precision_plugin.forward_context():
            return fit_to(module, look_at(module, self._example()), chosen, self.blocks, patterns)

    def _example(self) -> Any:
        module = self.lightning_module
        assert module is not None
        device = next((p.device for p in module.parameters()), self.root_device)
        return self.precision_plugin.convert_input(move_data_to_device(module.example_input_array, device))

    def _run_example(self, wiring: CutWiring | None) -> Any:
        module = self.lightning_module
        assert module is not None
        dry = nullcontext() if wiring is None else wiring.step.rehearsal()
        with dry, self.precision_plugin.forward_context():
            return run_example(module, self._example())

    def batch_to_device(self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0) -> Any:
        if self._division is not None:
            self._division.channel.batch = fingerprint(batch)
        return super().batch_to_device(batch, device, dataloader_idx)

    def process_dataloader(self, dataloader: Any) -> Any:
        # As Lightning does it afterwards, but for rank 0 everywhere: workers must draw the same on all ranks.
        if int(os.environ.get("PL_SEED_WORKERS", 0)) and getattr(dataloader, "worker_init_fn", True) is None:
            dataloader.worker_init_fn = functools.partial(pl_worker_init_function, rank=0)
        return super().process_dataloader(dataloader)

    # -- training -----------------------------------------------------------------------------------------------------------

    def setup_optimizers(self, trainer: Trainer) -> None:
        super().setup_optimizers(trainer)
        check_optimizers(self.optimizers)

    def setup_precision_plugin(self) -> None:
        super().setup_precision_plugin()
        plugin = self.precision_plugin

        def clip_grad_by_norm(optimizer: Optimizer, clip_val: float) -> None:
            clip_by_norm(list(plugin.main_params(optimizer)), clip_val)

        plugin.__dict__["clip_grad_by_norm"] = clip_grad_by_norm

    def training_step(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        if self.microbatches == 1:
            return super().training_step(batch, *args, **kwargs)
        parts, shares = split(batch, self.microbatches)
        outs = [super(PipelineFeedbackStrategy, self).training_step(part, *args, **kwargs) for part in parts]
        losses: list[Any] = [out["loss"] if isinstance(out, Mapping) else out for out in outs]
        if any(loss is None for loss in losses):
            raise ValueError("`training_step` returned no loss for a microbatch. Use `microbatches=1` to skip batches.")
        return torch.stack([loss * share for loss, share in zip(losses, shares)]).sum()

    def on_train_start(self) -> None:
        super().on_train_start()
        if self._division is not None:
            self._division.weights.freeze()

    # -- checkpoints --------------------------------------------------------------------------------------------------------

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return self._with_whole(super().lightning_module_state_dict)

    def save_checkpoint(self, checkpoint: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if self._division is None or not self.rule.learned:
            return super().save_checkpoint(checkpoint, *args, **kwargs)
        return self._with_whole(
            lambda: super(PipelineFeedbackStrategy, self).save_checkpoint(checkpoint, *args, **kwargs)
        )

    def _with_whole(self, then: Callable[[], T]) -> T:
        if self._division is None:
            return then()
        self._division.weights.collect()
        try:
            return then()
        finally:
            self._division.weights.drop(self.root_device)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state: dict[str, Any] = super().optimizer_state(optimizer)
        if self._division is None:
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

    # -- the end ------------------------------------------------------------------------------------------------------------

    def on_exception(self, exception: BaseException) -> None:
        self._failed = True
        super().on_exception(exception)

    def teardown(self) -> None:
        self.precision_plugin.__dict__.pop("clip_grad_by_norm", None)
        if self._metrics is not None:
            self._metrics.remove()
            self._metrics = None
        division, self._division = self._division, None
        if division is not None:
            division.remove()
            if not self._failed:  # the others may be gone
                division.flush()
                division.weights.restore()
        super().teardown()
