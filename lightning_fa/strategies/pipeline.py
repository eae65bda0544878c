"""The strategy for several processes, each with one stage of the network."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning.pytorch import Trainer
from torch.optim import Optimizer

from lightning_fa.pipeline.clipping import clip_by_norm
from lightning_fa.pipeline.division import Division
from lightning_fa.pipeline.fingerprint import fingerprint
from lightning_fa.pipeline.groups import add_always, add_once
from lightning_fa.pipeline.metrics import TrueMetrics
from lightning_fa.pipeline.microbatches import split
from lightning_fa.pipeline.pace import common_pace, own_pace
from lightning_fa.pipeline.refusals import check_module, check_optimizers, check_rule, check_trainer
from lightning_fa.pipeline.stages import Stages
from lightning_fa.rehearsal import look_at, run_example
from lightning_fa.rules import Rule
from lightning_fa.strategies.pipeline_checkpoints import StageCheckpoints
from lightning_fa.wiring import Block, Cut, choose_blocks, fit_to


class PipelineFeedbackStrategy(StageCheckpoints):
    """Several processes, each with one stage of the network: ``Trainer(strategy="lafs_pipeline", devices=2)``.

    Trains by local and direct rules. All ranks run the module's own ``training_step`` on the same batch. A rank computes the
    blocks of its stage and sends their output to the next stage. Under a local rule no stage waits for a stage above it. Under
    a direct rule the error at the output is sent to all stages at once, and ``microbatches=`` keeps the stages busy. After any
    number of steps the weights are those of one process. Rank 0 runs the last stage. Its logged values are true, and decide for
    all ranks.

    The module needs ``example_input_array``, from which the stages are found. Each rank keeps the parameters, gradients and
    optimizer state of its own stage. A checkpoint is one file with all stages, and any number of stages can continue it. After
    ``fit`` every rank has the whole module.

    Args:
        rule: A rule or its registry name.
        stages: Name patterns of every stage's blocks, from the input to the output: ``[["net.0", "net.2"], ["net.4"]]``.
            Default: equal numbers of floating-point operations.
        microbatches: Number of parts into which a batch is divided, so that all stages compute at once. More than 1 under direct
            rules only. ``training_step`` is called once for each part, and its loss must be a mean over samples.
        **kwargs: ``blocks``, ``targets`` and ``ungoverned`` as for :class:`FeedbackStrategyMixin`. ``process_group_backend``
            (default: NCCL on GPUs, else gloo), ``timeout`` and ``start_method`` as for ``DDPStrategy``. Others are passed to
            ``ParallelStrategy``.

    Raises:
        MisconfigurationException: In the constructor, for a rule whose error passes from block to block. Before training, for
            a module, Trainer or optimizer whose training in stages would not be exact.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "_pipeline": {},
        "_pipeline_spawn": {"start_method": "spawn"},
        "_pipeline_fork": {"start_method": "fork"},
        "_pipeline_notebook": {"start_method": "fork"},
    }

    def __init__(
        self, rule: str | Rule = "lafs", *, stages: Stages = None, microbatches: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(rule, **kwargs)
        check_rule(self.rule, microbatches)
        self.stages, self.microbatches = stages, microbatches
        self._metrics: TrueMetrics | None = None
        self._failed = False

    def setup_environment(self) -> None:
        self._failed = self._in_parts = False
        super().setup_environment()

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
        # `check_rule` has refused rules that do not cut.
        wiring: Cut | None = getattr(self.attached._wiring, "cut", None) if self._fitting else None
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

    def _run_example(self, wiring: Cut | None) -> Any:
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
        # Lightning would seed the workers by the rank. Here all ranks take rank 0, so that workers draw the same everywhere.
        if int(os.environ.get("PL_SEED_WORKERS", 0)) and getattr(dataloader, "worker_init_fn", True) is None:
            dataloader.worker_init_fn = functools.partial(pl_worker_init_function, rank=0)
        return super().process_dataloader(dataloader)

    # -- training -----------------------------------------------------------------------------------------------------------

    def setup_optimizers(self, trainer: Trainer) -> None:
        super().setup_optimizers(trainer)
        check_optimizers(self.optimizers)
        assert self._division is not None
        for optimizer in self.optimizers:
            add_once(optimizer, self._division.weights.owns)

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
        outs = [self._step_on(part, *args, **kwargs) for part in parts]
        self._count(batch)
        losses: list[Any] = [out["loss"] if isinstance(out, Mapping) else out for out in outs]
        if any(loss is None for loss in losses):
            raise ValueError("`training_step` returned no loss for a microbatch. Use `microbatches=1` to skip batches.")
        return torch.stack([loss * share for loss, share in zip(losses, shares)]).sum()

    def _step_on(self, part: Any, *args: Any, **kwargs: Any) -> Any:
        self._count(part)
        return super().training_step(part, *args, **kwargs)

    def _count(self, batch: Any) -> None:
        """Let what is logged from now on count as often as ``batch`` has samples."""
        results = self.lightning_module.trainer._results  # type: ignore[union-attr]
        if results is not None:
            results.batch, results.batch_size = batch, None

    def on_train_start(self) -> None:
        super().on_train_start()
        if self._division is not None:
            self._division.weights.freeze()
            trainer = self.lightning_module.trainer  # type: ignore[union-attr]
            own_pace(trainer, self._division.channel.end, self.broadcast)

    # -- the end ------------------------------------------------------------------------------------------------------------

    def on_exception(self, exception: BaseException) -> None:
        self._failed = True
        super().on_exception(exception)

    def teardown(self) -> None:
        self.precision_plugin.__dict__.pop("clip_grad_by_norm", None)
        for optimizer in self.optimizers:
            add_always(optimizer)
        if self._metrics is not None:
            self._metrics.remove()
            self._metrics = None
        if self.lightning_module is not None and self.lightning_module._trainer is not None:
            common_pace(self.lightning_module.trainer)
        division, self._division = self._division, None
        if division is not None:
            division.remove()
            self._in_parts = self._failed  # the other ranks may have ended
            if not self._failed:
                division.flush()
                division.weights.restore()
        super().teardown()
