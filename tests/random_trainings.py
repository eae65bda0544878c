"""Trainings that nobody wrote: with any options, a Trainer does what a loop in plain PyTorch does.

    python -m tests.random_trainings [--count 200] [--seed 0]

prints the number of trainings and every kind of finding with the shortest training that showed it. Hypothesis draws them.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler, ModelCheckpoint
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.checkpoint import checkpoint

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor, RuleConfig
from lightning_fa.surgery import FEEDBACK
from tests.lightning_net import loader, trainer
from tests.oracles import ORACLES
from tests.problems import PROBLEMS, Problem, criterion, distance

DTYPES = {"32-true": torch.float32, "64-true": torch.float64, "bf16-mixed": torch.float32}
ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-12}
"""Of a parameter's norm. Adam divides rounding errors by gradients that are nearly zero."""
CLIP = {"norm": 0.1, "value": 0.003}
OPTIMIZERS = {
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}


@dataclass(frozen=True)
class Training:
    """A rule, a network and the options of a Trainer."""

    rule: str
    problem: str
    mixin: bool
    example: bool
    precision: str
    sizes: tuple[int, ...]
    """Samples of each batch of an epoch."""
    epochs: int
    accumulate: tuple[int, int]
    """Batches per step in the first and the second epoch."""
    clip: str | None
    optimizer: str
    scheduler: str | None
    checkpointed: bool
    """Whether the whole network is an activation checkpoint."""
    manual: bool
    resumed: bool
    """Whether the second epoch continues a checkpoint in a new module and Trainer."""
    frozen: bool
    """Whether the first block is frozen in the first epoch."""
    watched: bool

    @property
    def net(self) -> Problem:
        return PROBLEMS[self.problem]

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        return [self.net.batch(size, seed=seed) for seed, size in enumerate(self.sizes)]

    def steps(self, epoch: int, index: int) -> bool:
        """Whether the optimizer steps after a batch. The last batch of an epoch always steps."""
        return (index + 1) % self.accumulate[epoch] == 0 or index + 1 == len(self.sizes)


@st.composite
def trainings(draw: st.DrawFn) -> Training:
    flag, rarely = st.booleans(), st.sampled_from([False, False, True])
    rule = draw(st.sampled_from(list(fa.RULES)))
    problem = draw(st.sampled_from([name for name in PROBLEMS if name not in ORACLES[rule].refuses]))
    manual, precision = draw(rarely), draw(st.sampled_from(list(DTYPES)))
    learned, accumulate = fa.RULES[rule].learned, [(1, 1), (1, 2), (2, 2)]
    if precision != "bf16-mixed":
        # Whether a small block's gradient is computed in forward or in backward depends on whether its memory was counted
        # before, which a monitor does, and a resumed training does anew. The factor 1/3 then rounds at another place.
        accumulate += [(3, 3), (3, 2)]
    return Training(
        rule=rule,
        problem=problem,
        mixin=draw(flag),
        example=(learned and PROBLEMS[problem].maps) or draw(flag),  # or its shape would not be known in time
        # Lightning differentiates under autocast in manual optimisation.
        precision="32-true" if manual and precision == "bf16-mixed" else precision,
        sizes=draw(st.sampled_from([(8, 8, 8), (8, 8, 5), (4, 6, 3, 1), (8,)])),
        epochs=draw(st.sampled_from([1, 2])),
        accumulate=draw(st.sampled_from(accumulate)),
        clip=draw(st.sampled_from([None, *CLIP])),
        optimizer=draw(st.sampled_from(list(OPTIMIZERS))),
        scheduler=draw(st.sampled_from([None, "step", "epoch"])),
        checkpointed=draw(rarely),
        manual=manual,
        # Lightning restores float64 weights into a module that is float32 still.
        resumed=draw(rarely) and precision != "64-true",
        # `ifa` needs the gradients of every block. Under the others what a frozen block holds is left as it is.
        frozen=draw(rarely) and rule not in ("ifa", "kp", "solo", "local"),
        watched=draw(flag) and not manual,
    )


class Net(LightningModule):
    def __init__(self, training: Training) -> None:
        super().__init__()
        self.training_ = training
        self.net = training.net.model()
        self.automatic_optimization = not training.manual
        if training.example:
            self.example_input_array = training.net.batch(2)[0].to(DTYPES[training.precision])

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.net, x, use_reentrant=False) if self.training_.checkpointed else self.net(x)

    def score(self, batch: tuple[Tensor, Tensor], epoch: int, index: int) -> Tensor:
        """The loss. Dropout draws by epoch and batch, whatever a monitor has drawn before."""
        torch.manual_seed(100 * epoch + index)
        output = self(batch[0])
        return criterion(output, F.one_hot(batch[1], self.training_.net.outputs).to(output.dtype))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor | None:
        t, epoch = self.training_, self.current_epoch
        loss = self.score(batch, epoch, index)
        if self.automatic_optimization:
            return loss
        attached = self.attached if t.mixin else self.trainer.strategy.attached
        self.manual_backward(attached.loss(loss) / t.accumulate[epoch])
        scheduler: Any = self.lr_schedulers()
        if t.steps(epoch, index):
            optimizer: Any = self.optimizers()
            if t.clip:
                self.clip_gradients(optimizer, CLIP[t.clip], t.clip)
            optimizer.step()
            optimizer.zero_grad()
            if t.scheduler == "step":
                scheduler.step()
        if t.scheduler == "epoch" and index + 1 == len(t.sizes):
            scheduler.step()
        return None

    def configure_optimizers(self) -> Any:
        t = self.training_
        optimizer = OPTIMIZERS[t.optimizer](self.parameters())
        scheduler = {"scheduler": StepLR(optimizer, 1, gamma=0.5), "interval": t.scheduler}
        return {"optimizer": optimizer, **({"lr_scheduler": scheduler} if t.scheduler else {})}


class Own(fa.FeedbackMixin, Net):
    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.rule = training.rule


def first_block(module: Net) -> nn.Module:
    return module.net.get_submodule(module.training_.net.blocks[0])


def own(block: nn.Module) -> list[nn.Parameter]:
    """Without feedback, which goes on learning."""
    return [p for name, p in block.named_parameters() if FEEDBACK not in name]


class Freeze(Callback):
    def on_train_epoch_start(self, trainer, module):
        for parameter in own(first_block(module)):
            parameter.requires_grad_(trainer.current_epoch > 0)


Found = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Weights and buffers of the network, and feedback."""


def by_trainer(t: Training, folder: str) -> Found:
    path = None
    for epochs in (1, t.epochs) if t.resumed else (t.epochs,):
        module = (Own if t.mixin else Net)(t)
        saver = ModelCheckpoint(folder, filename="{epoch}", save_on_train_epoch_end=True)
        callbacks: list[Callback] = [saver, *([Freeze()] if t.frozen else ())]
        callbacks += [AlignmentMonitor(), RuleConfig()] if t.watched else ()
        automatic: dict[str, Any] = {}
        if not t.manual:
            callbacks.append(GradientAccumulationScheduler(dict(enumerate(t.accumulate))))
            if t.clip:
                automatic = {"gradient_clip_val": CLIP[t.clip], "gradient_clip_algorithm": t.clip}
        run = trainer(
            "auto" if t.mixin else t.rule,
            precision=t.precision,
            max_epochs=epochs,
            enable_checkpointing=True,
            callbacks=callbacks,
            **automatic,
        )
        run.fit(module, loader(t.batches()), ckpt_path=path)
        path = saver.best_model_path
    attached = module.attached if isinstance(module, Own) else run.strategy.attached
    state = {name: w.clone() for name, w in module.state_dict().items() if FEEDBACK not in name}
    return state, {name: b.clone() for name, b in attached.feedback.items()}


def by_loop(t: Training) -> Found:
    module, dtype = Net(t).to(DTYPES[t.precision]), DTYPES[t.precision]
    attached = fa.attach(module, t.rule, example=module.example_input_array)
    made = module.configure_optimizers()
    optimizer = made["optimizer"]
    owned = [p for group in optimizer.param_groups for p in group["params"]]
    for epoch in range(t.epochs):
        for index, (x, y) in enumerate(t.batches()):
            attached.targets = y
            with torch.autocast("cpu", torch.bfloat16, enabled=t.precision == "bf16-mixed"):
                loss = attached.loss(module.score((x.to(dtype), y), epoch, index))
            (loss / t.accumulate[epoch]).backward()
            if t.steps(epoch, index):
                if t.frozen and epoch == 0:  # nothing else depends on whether its gradients are computed
                    for parameter in own(first_block(module)):
                        parameter.grad = None
                if t.clip == "norm":
                    nn.utils.clip_grad_norm_(owned, CLIP["norm"])
                if t.clip == "value":
                    nn.utils.clip_grad_value_(owned, CLIP["value"])
                optimizer.step()
                optimizer.zero_grad()
                if t.scheduler == "step":
                    made["lr_scheduler"]["scheduler"].step()
        if t.scheduler == "epoch":
            made["lr_scheduler"]["scheduler"].step()
    feedback = {name: b.clone() for name, b in attached.feedback.items()}
    attached.detach()
    return module.state_dict(), feedback


def check(t: Training) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = by_trainer(t, folder)
    for found, expected in zip(ours, by_loop(t)):
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype, name
            same = torch.equal(found[name], tensor)
            assert same or distance(found[name], tensor) <= ROUNDING[tensor.dtype], f"{name} differs"


if __name__ == "__main__":
    from tests.random_search import main

    sys.exit(main(__doc__, trainings(), check, 200))
