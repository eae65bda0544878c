"""Settings of meulemans2021. The widths are the paper's, and the rest is from the authors' configuration files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

DFA_UNITS = 128 / (2 * 1e-3)
"""The authors' DFA multiplies the gradient by 2 x 1e-3 / 128 (target step 1e-3, batches of 128). Their epsilon is for that
product, and ours is for the gradient."""


@dataclass(frozen=True)
class Training:
    """One network and its training."""

    learning_rate: float
    epsilon: float  # epsilon of Adam, for the gradient of the loss without a factor
    hidden: tuple[int, ...] = (256, 256, 256)
    linear: tuple[int, ...] = ()  # indices of hidden layers without tanh, from 0
    batch_size: int = 128
    epochs: int = 100
    max_steps: int = -1
    held_out: int = 5000
    train_samples: int | None = None
    test_samples: int | None = None


_MNIST = Training(2.97764587844326e-4, 5.770311627459478e-08)
_CODE = Training(1.3674117423775684e-3, 9.190510113850847e-07, hidden=(256, 32, 256), linear=(1,), epochs=25)
RUNS = {
    "mnist-bp": _MNIST,
    "mnist-dfa": Training(2.6298517958226435e-4, 2.483437226361463e-08 * DFA_UNITS),
    "mnist-shallow": _MNIST,
    "autoencoder-bp": _CODE,
    "autoencoder-dfa": replace(_CODE, learning_rate=3.150803077207525e-4, epsilon=5.150023297495683e-08 * DFA_UNITS),
    "autoencoder-shallow": _CODE,
}


@dataclass(frozen=True)
class Settings:
    """The trainings by name. A name is "task-rule"."""

    runs: Mapping[str, Training] = field(default_factory=lambda: RUNS)


PRESETS = {
    "full": Settings(),
    "quick": Settings({n: replace(t, epochs=3) for n, t in RUNS.items()}),
    "smoke": Settings({n: replace(t, epochs=2, train_samples=1000, test_samples=300) for n, t in RUNS.items()}),
}
SEEDS = {"full": 5, "quick": 1, "smoke": 1}
