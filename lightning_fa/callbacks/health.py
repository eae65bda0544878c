"""GradientHealth: warns of layers whose gradients vanish or explode, with their names and the likely cause."""

from __future__ import annotations

import logging
import math
from statistics import median
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_fa.callbacks.identity import key_of
from lightning_fa.callbacks.monitor import check_measurable
from lightning_fa.callbacks.passes import find_attached
from lightning_fa.callbacks.schedule import Steps, check_steps, is_due
from lightning_fa.callbacks.sending import send_numbers
from lightning_fa.callbacks.weights import _held
from lightning_fa.metrics import dead_units
from lightning_fa.ops.wide import double

log = logging.getLogger("lightning_fa.callbacks")


class GradientHealth(Callback):
    """Checks the gradients before each optimiser step at ``steps``, and warns once per layer and problem.

    * *no signal*: the gradient of a whole layer is absent or exactly zero;
    * *dead*: more than ``dead`` percent of a layer's units receive no gradient;
    * *exploding*: the gradient is not finite, or its norm exceeds ``explosion`` times the median norm of the last 20 checks.

    The warning comes after ``patience`` checks in a row with the problem, because a GradScaler overflows now and then on
    purpose. Embeddings are not checked, because a batch names few of their entries.

    Logged, see :data:`lightning_fa.callbacks.NAMES`: ``health/<layer>/gradient_norm, dead_units``.

    Args:
        steps: When to check; see :class:`~lightning_fa.callbacks.Steps`.
        patience: Checks in a row before a warning.
        dead: Percent of a layer's units.
        explosion: Factor on the median norm.
    """

    def __init__(self, steps: Steps = 50, *, patience: int = 3, dead: float = 90.0, explosion: float = 1000.0) -> None:
        self.steps = check_steps(steps)
        self._key = key_of(self, {"steps": self.steps, "patience": patience, "dead": dead, "explosion": explosion})
        self.patience, self.dead, self.explosion = patience, dead, explosion
        self.latest: dict[str, float] = {}
        self._norms: dict[str, list[float]] = {}
        self._seen: dict[str, int] = {}

    @property
    def state_key(self) -> str:
        return self._key

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, (FSDPStrategy, ModelParallelStrategy)):
            check_measurable(self, trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if not is_due(self.steps, trainer.global_step):
            return
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        numbers: dict[str, float] = {}
        for name, (layer, weight) in _held(pl_module).items():
            if weight.requires_grad and id(weight) in owned:
                numbers |= self._check(name, layer, weight.grad, trainer, pl_module)
        self.latest |= numbers
        send_numbers(trainer, numbers)

    def _check(
        self, name: str, layer: nn.Module, gradient: Tensor | None, trainer: Trainer, module: LightningModule
    ) -> dict[str, float]:
        norm = 0.0 if gradient is None else double(gradient.detach()).norm().item()
        dead = 100.0 if gradient is None else dead_units(gradient, layer)
        earlier = self._norms.setdefault(name, [])
        usual = median(earlier) if earlier else math.inf
        self._count(name, "no signal", norm == 0, f"{_absent(gradient)} {_why_no_signal(name, trainer, module)}")
        self._count(
            name,
            "dead",
            norm != 0 and dead > self.dead,
            f"{dead:.0f} % of its units receive no gradient. Likely cause: ReLUs that are off for every sample (a learning "
            "rate or feedback that is too large), or saturated units. Lower the learning rate or the scale of the feedback, or "
            "use another activation.",
        )
        self._count(
            name,
            "exploding",
            not math.isfinite(norm) or norm > self.explosion * usual,
            f"the norm of its gradient is {norm:.3g}, and its median was {usual:.3g}. Likely cause: a learning rate or a scale "
            "of the feedback that is too large, or weights that grow while their feedback stays as it is. Lower the learning "
            "rate or the scale, clip gradients, or normalise activations.",
        )
        if math.isfinite(norm) and norm > 0:
            earlier.append(norm)
            del earlier[:-20]
        return {f"health/{name}/gradient_norm": norm, f"health/{name}/dead_units": dead}

    def _count(self, name: str, trouble: str, present: bool, text: str) -> None:
        key = f"{name}: {trouble}"
        self._seen[key] = self._seen.get(key, 0) + 1 if present else 0
        if self._seen[key] == self.patience:
            rank_zero_warn(f"Layer {name!r} has a problem ({trouble}) at {self.patience} checks in a row: {text}")

    def state_dict(self) -> dict[str, Any]:
        return {
            "norms": {k: list(v) for k, v in self._norms.items()},
            "seen": dict(self._seen),
            "latest": dict(self.latest),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._norms = {name: list(norms) for name, norms in state_dict["norms"].items()}
        self._seen, self.latest = dict(state_dict["seen"]), dict(state_dict["latest"])


def _absent(gradient: Tensor | None) -> str:
    return "it has no gradient at all." if gradient is None else "its gradient is exactly zero."


def _why_no_signal(name: str, trainer: Trainer, module: LightningModule) -> str:
    attached = find_attached(trainer, module)
    if attached is not None:
        zero = [
            n for n, b in attached.feedback.items() if not b.detach().any() and (n == name or name.startswith(f"{n}."))
        ]
        if zero:
            return f"Likely cause: the feedback of {zero[0]!r} is zero. Give it another `init` or `scale`."
        governed = list(attached.config()["blocks"])
        if not any(name == block or name.startswith(f"{block}.") or not block for block in governed):
            return f"Likely cause: the layer lies in no block of the rule ({', '.join(governed)}), and no gradient reaches it."
    return (
        "Likely cause: the layer is not used in the forward pass, or the layers above pass no gradient on (saturated or dead "
        "units, a weight or feedback of zeros, `detach` or `no_grad`)."
    )
