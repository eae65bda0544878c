"""What the processes of the pipeline's tests do; run by :mod:`tests.distributed.jobs`."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import StrategyRegistry
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, DistributedSampler

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from tests.distributed.pipeline_net import BATCH, CLASSES, Learner, data, fit, trainer
from tests.distributed.saving import Saving

Results = dict[str, Any]

RULES: dict[str, fa.Rule] = {name: kind() for name, kind in (fa.RULES | fa.PAIR_RULES).items()}
LOSSES = {"kickback": "mse"}
"""Rule -> the loss that it needs, where it is not cross-entropy."""


def refusal(name: str) -> str | None:
    """What a user is told who asks for a rule's pipeline by its name; ``None`` where it can be had."""
    try:
        StrategyRegistry.get(f"{name}_pipeline")
    except MisconfigurationException as error:
        return str(error)
    return None


CASES: dict[str, tuple[str, Results, Results]] = {
    **{name: (name, {"loss": LOSSES.get(name, "cross_entropy")}, {}) for name in RULES if refusal(name) is None},
    "lafs, sgd": ("lafs", {"optimizer": "sgd"}, {}),
    "drtp, functions": ("drtp", {"net": "functional"}, {}),
    "dfa, functions": ("dfa", {"net": "functional"}, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.05}),
    "dfa, convolutions": ("dfa", {"net": "conv", "optimizer": "sgd"}, {}),
    "not linear in the error": ("dfa_sign", {}, {"accumulate_grad_batches": 2}),
    "learned feedback": ("dkp", {"optimizer": "sgd"}, {}),
    "convolutions": ("lafs", {"net": "conv"}, {}),
    "text": ("dfa", {"net": "text"}, {}),
    "text, local": ("drtp", {"net": "text"}, {}),
    "an encoder": ("lafs", {"net": "encoder"}, {}),
    "one activation for all blocks": ("lafs", {"net": "one for all"}, {}),
    "an activation of the blocks in the step": ("lafs", {"net": "one for all", "squash": True}, {}),
    "a module behind the head": ("lafs", {"net": "log probabilities"}, {}),
    "a module behind the head, direct": ("dfa", {"net": "log probabilities"}, {}),
    "a frozen entrance": ("lafs", {"net": "frozen entrance"}, {}),
    "a frozen middle": ("lafs", {"net": "frozen middle"}, {}),
    "a frozen middle, direct": ("dfa", {"net": "frozen middle", "optimizer": "sgd"}, {}),
    "two passes in a step": ("lafs", {"views": 2}, {}),
    "two passes in a step, direct": ("dfa", {"views": 2, "optimizer": "sgd"}, {}),
    "local, convolutions": ("local", {"net": "conv", "optimizer": "sgd"}, {}),
    "functions": ("lafs", {"net": "functional"}, {}),
    "in order": ("lafs", {}, {"shuffle": False}),
    "random numbers in training_step": ("lafs", {"mix": True}, {}),
    "clipping by norm": ("lafs", {"optimizer": "sgd"}, {"gradient_clip_val": 0.05}),
    "clipping by value": (
        "lafs",
        {"optimizer": "sgd"},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    ),
    "accumulation": ("lafs", {}, {"accumulate_grad_batches": 2}),
    "schedule": ("lafs", {"schedule": "step"}, {}),
    "plateau": ("lafs", {"schedule": "plateau"}, {"max_epochs": 4}),
    "plateau by hand": ("lafs", {"schedule": "by hand"}, {"max_epochs": 4}),
    "finetuning": ("lafs", {"optimizer": "sgd", "thaw": True}, {"max_epochs": 3}),
    "float32 to float64": ("lafs", {"dtype": torch.float32}, {"precision": "64-true"}),
    "bf16-mixed": ("lafs", {"dtype": torch.float32}, {"precision": "bf16-mixed"}),
    "sanity check": ("lafs", {}, {"num_sanity_val_steps": 2, "val_check_interval": 2}),
}
"""Name -> rule, arguments of the module, options of the Trainer."""


def run_case(name: str, world: int, strategy: Callable[[fa.Rule], Any], **more: Any) -> tuple[Any, Learner]:
    rule, arguments, options = CASES[name]
    net = Learner(**arguments)
    return fit(strategy(RULES[rule]), world, net, **{**options, **more}), net


def told(run: Any, net: Learner) -> Results:
    """Whole weights, what was logged, and what the optimizer was told."""
    return {
        "weights": {name: w.clone() for name, w in net.state_dict().items()},
        "metrics": {name: value.clone() for name, value in run.callback_metrics.items()},
        "losses": list(net.losses),
        "feedback": run.strategy.attached.state_dict()["feedback"],
        "rates": [group["lr"] for group in run.optimizers[0].param_groups],
        "steps": run.global_step,
    }


class Held(Callback):
    """What a rank holds after some steps: numbers of parameters, gradients and optimizer state, in memory."""

    def __init__(self) -> None:
        self.numel: Results = {}

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        def numel(tensors: Any) -> int:
            unique = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() // t.element_size() for t in tensors}
            return sum(unique.values())

        state = trainer.optimizers[0].state
        moments = [v for values in state.values() for key, v in values.items() if key != "step"]
        self.numel = {
            "parameters": numel(module.net.parameters()),
            "moments": numel(moments),
        }

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.gradients = sum(p.grad.numel() for p in module.parameters() if p.grad is not None)


MICROBATCHED = {"dfa, functions": 2, "dfa, layers": 3, "not linear, layers": 4, "learned, layers": 3}
"""Cases -> parts of a batch; the last batch of an epoch has 4 samples."""

CASES |= {
    "dfa, layers": ("dfa", {"net": "functional"}, {}),
    "not linear, layers": ("dfa_sign", {"net": "functional"}, {"accumulate_grad_batches": 2}),
    "learned, layers": ("dkp", {"net": "functional", "optimizer": "sgd"}, {}),
}


def microbatched(folder: Path, rank: int, world: int) -> Results:
    """Train with batches in parts."""
    results: Results = {}
    for name, parts in MICROBATCHED.items():
        run, net = run_case(name, world, lambda rule, m=parts: fa.PipelineFeedbackStrategy(rule, microbatches=m))
        results[name] = told(run, net)
    return results


def pipelined(folder: Path, rank: int, world: int, names: list[str]) -> Results:
    """Train every case; what fails says so."""
    results: Results = {}
    for name in names:
        held = Held()
        try:
            run, net = run_case(name, world, fa.PipelineFeedbackStrategy, callbacks=[held])
            results[name] = {**told(run, net), "held": {**held.numel, "gradients": held.gradients}}
        except Exception as error:
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {error}"}
            break  # the others wait for this rank
    return results


def random_layers(folder: Path, rank: int, world: int, **arguments: Any) -> Results:
    """Dropout between the blocks; also the masks' own streams, by the losses that rank 0 sees."""
    net = Learner(**arguments)
    run = fit(fa.PipelineFeedbackStrategy(), world, net)
    return told(run, net)


def decide(strategy: Any, world: int, folder: Path) -> Results:
    """A fit that is stopped by a metric and keeps the best checkpoint, then all that can be done with it."""
    stop = EarlyStopping("val_loss", min_delta=0.01, patience=2)
    save = ModelCheckpoint(folder, "{epoch}-{val_loss:.6f}", monitor="val_loss")
    net = Learner()
    run = fit(strategy, world, net, max_epochs=60, callbacks=[stop, save], enable_checkpointing=True)
    loader = DataLoader(data(), BATCH)
    best = {"path": Path(save.best_model_path).name, "score": float(save.best_model_score)}
    tested = run.test(net, loader, ckpt_path="best", verbose=False)[0]
    validated = run.validate(net, loader, verbose=False)[0]
    predicted = torch.cat(run.predict(net, loader))
    return {"epochs": run.current_epoch, **best, "test": tested, "validate": validated, "predict": predicted}


def decided(folder: Path, rank: int, world: int) -> Results:
    return decide(fa.PipelineFeedbackStrategy(), world, folder)


class SaveInside(Saving):
    """Saves while the network is in parts."""

    def __init__(self, path: Path, pause: float = 0.0) -> None:
        super().__init__(path, lambda trainer: trainer.current_epoch + 1, pause)
        self.stages: dict[str, int] = {}

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        division = trainer.strategy._division
        self.stages = dict(zip((block.name for block in division.blocks), division.stages))
        super().on_train_epoch_end(trainer)


def epochs(
    folder: Path, rank: int, world: int, rule: str, until: int, pause: float = 0.0, stages: Any = None
) -> Results:
    """Train until an epoch, from the last checkpoint if there is one, and save after each, and after training."""
    path, net = folder / "last.ckpt", Learner()
    strategy = fa.PipelineFeedbackStrategy(RULES[rule], stages=stages)
    save = SaveInside(path, pause)
    start = path if path.exists() else None
    run = fit(strategy, world, net, shuffle=False, max_epochs=until, callbacks=[save], ckpt_path=start)
    run.save_checkpoint(folder / "after.ckpt")
    return {**told(run, net), "stages": save.stages}


class Ahead(Callback):
    """The last stage does not end its first batch before the first stage has begun its third."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, False

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_rank:
            (self.folder / f"batch{batch_idx}").touch()
        elif batch_idx == 0:
            for _ in range(600):
                if self.seen:
                    break
                time.sleep(0.05)
                self.seen = (self.folder / "batch2").exists()


def ahead(folder: Path, rank: int, world: int) -> Results:
    """Whether rank 0 saw the stage below it two batches ahead."""
    watch = Ahead(folder)
    fit(fa.PipelineFeedbackStrategy("lafs"), world, Learner(), max_epochs=1, limit_val_batches=0, callbacks=[watch])
    return {"seen": watch.seen}


class StopsAt(Callback):
    """Sets ``should_stop`` after a batch of the first epoch, on one rank. ``told``: rank 0's decision is sent to all."""

    def __init__(self, batch: int, rank: int, told: bool = False) -> None:
        self.batch, self.rank, self.told = batch, rank, told

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = batch_idx == self.batch and trainer.global_rank == self.rank
        if self.told:
            now = trainer.strategy.broadcast(now)
        trainer.should_stop = trainer.should_stop or now


class StopsByHook(Learner):
    def on_validation_epoch_end(self) -> None:
        if self.global_rank == 0:
            self.trainer.should_stop = True


def stopped(folder: Path, rank: int, world: int, by: int) -> Results:
    """How many steps a run takes that is stopped; the last by one rank for itself."""
    found: Results = {}
    runs: Results = {
        "told": (Learner(), {"callbacks": [StopsAt(2, 0, told=True)]}),
        "last batch": (Learner(), {"callbacks": [StopsAt(5, 0)], "val_check_interval": 4}),
        "hook": (StopsByHook(), {"val_check_interval": 4, "num_sanity_val_steps": 0}),
        "alone": (Learner(), {"callbacks": [StopsAt(2, by)]}),
    }
    for name, (net, options) in runs.items():
        try:
            found[name] = fit(fa.PipelineFeedbackStrategy(), world, net, **options).global_step
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


class ScaledOutside(Learner):
    """Scales its inputs in ``training_step``."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(36, dtype=torch.float64))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return super().training_step((batch[0] * self.scale, batch[1]), index)


def outside(folder: Path, rank: int, world: int) -> Results:
    """A parameter that a dry run of ``forward`` does not see."""
    try:
        fit(fa.PipelineFeedbackStrategy(), world, ScaledOutside())
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": "nothing"}


class Tied(nn.Module):
    """The first and the last block have one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 36)
        self.last.weight = self.first.weight
        self.head = nn.Linear(36, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(torch.tanh(self.middle(torch.tanh(self.first(x))))))


class Beside(Tied):
    """What the first block computes passes the second by, without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(36, 36)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.head(torch.tanh(self.last(torch.tanh(self.middle(torch.tanh(h)))) + h.detach()))


class Loop(nn.Module):
    """A cell that is called again with its own state."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.cell, self.head = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.read(x))
        for _ in range(3):
            h = torch.tanh(self.cell(h))
        return self.head(h)


class Past(Beside):
    """A connection of a U-Net: what the first block computes enters the head as well."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(72, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.head(torch.cat([torch.tanh(self.last(torch.tanh(self.middle(torch.tanh(h))))), h], 1))


class Recomputed(Beside):
    """A block in an activation checkpoint."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = checkpoint(self.middle, torch.tanh(self.first(x)), use_reentrant=False)
        return self.head(torch.tanh(self.last(torch.tanh(h))))


class OneNorm(Beside):
    """One normalisation behind two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(36)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.last(self.norm(self.middle(self.norm(self.first(x)))))))


class Asks(nn.Linear):
    """Does as the values are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[x.sum(1) < 1e9])


class AsksInside(Beside):
    def __init__(self) -> None:
        super().__init__()
        self.middle = Asks(36, 36)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))))


def learner(net: nn.Module | None = None, **attributes: Any) -> Learner:
    made = Learner()
    if net is not None:
        made.net = net.double()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def compiled() -> Learner:
    made = Learner()
    made.net[0].compile(backend="eager")
    return made


class Lbfgs(Learner):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters())


class Mixin(fa.FeedbackMixin, Learner):
    rule = "lafs"


REFUSED: dict[str, tuple[Callable[[], Learner], Results, Results, str]] = {
    "too many stages": (
        Learner,
        {"blocks": ["net.5", "net.7"], "ungoverned": ["net.0", "net.2"]},
        {},
        "3 blocks at least",
    ),
    "stages not in order": (Learner, {"stages": [["net.7"], ["net.2", "net.5"], ["net.0"]]}, {}, "in the order"),
    "a block called several times": (lambda: learner(Loop()), {}, {}, "'net.cell' is called several times"),
    "a connection past blocks": (
        lambda: learner(Past()),
        {},
        {},
        "of block 'net.first' does not go to the next block only",
    ),
    "tied embedding": (lambda: Learner("tied text"), {"rule": "dfa"}, {}, "is used by blocks of stages"),
    "one normalisation for two stages": (lambda: learner(OneNorm()), {}, {}, "is used by blocks of stages"),
    "a checkpoint": (lambda: learner(Recomputed()), {}, {}, "in an activation checkpoint"),
    "shared weight": (lambda: learner(Tied()), {}, {}, "first.weight is used by blocks of stages"),
    "a tensor passes a stage by": (lambda: learner(Beside()), {}, {}, "does not compute the same as the whole network"),
    "a shape by values": (lambda: learner(AsksInside()), {}, {}, "is not known without running it"),
    "no example": (lambda: learner(example_input_array=None), {}, {}, "example_input_array"),
    "compiled": (compiled, {}, {}, "is compiled"),
    "lbfgs": (Lbfgs, {}, {}, "LBFGS"),
    "mixin": (Mixin, {}, {}, "sets its own rule"),
    "microbatches of a local rule": (Learner, {"microbatches": 2}, {}, "whole batches keep all stages busy"),
    "batch statistics of a part": (Learner, {"rule": "dfa", "microbatches": 2}, {}, "would depend on `microbatches`"),
    "microbatches of manual optimisation": (
        lambda: learner(automatic_optimization=False),
        {"rule": "dfa", "microbatches": 2},
        {},
        "each part would be a step",
    ),
    "a gradient scaler": (
        Learner,
        {},
        {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]},
        "precision='bf16-mixed'",
    ),
    "averaged weights": (
        Learner,
        {},
        {"callbacks": [StochasticWeightAveraging(1e-3)]},
        "StochasticWeightAveraging needs the whole network",
    ),
    "a monitor": (Learner, {}, {"callbacks": [AlignmentMonitor(1)]}, "AlignmentMonitor needs whole weights"),
}
"""Name -> module, arguments of the strategy, options of the Trainer, what the message says. For three processes."""


def refused(folder: Path, rank: int, world: int) -> Results:
    """What every rank is told."""
    found: Results = {}
    for name, (make, arguments, options, _) in REFUSED.items():
        net, before = make(), torch.get_rng_state()
        try:
            fit(fa.PipelineFeedbackStrategy(**arguments), world, net, **options)
            found[name] = "nothing"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
        assert len(before)
    return found


def divided_data(folder: Path, rank: int, world: int) -> Results:
    """A loader that gives each rank data of its own, as for DDP."""
    sampler = DistributedSampler(data(), world, rank, shuffle=False)
    run = trainer(fa.PipelineFeedbackStrategy(), world)
    told_of: Results = {"error": "nothing", "saved": "a checkpoint"}
    try:
        run.fit(Learner(), DataLoader(data(), BATCH, sampler=sampler))
    except Exception as error:
        told_of["error"] = f"{type(error).__name__}: {error}"
    try:
        run.save_checkpoint(folder / "failed.ckpt")
    except Exception as error:
        told_of["saved"] = f"{type(error).__name__}: {error}"
    return told_of


JOBS: dict[str, Callable[..., Results]] = {
    f.__name__: f
    for f in (pipelined, microbatched, random_layers, decided, epochs, ahead, stopped, outside, refused, divided_data)
}
