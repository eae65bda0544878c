"""Settings of launay2019. The defaults are from the authors' code, or ours where the package's docstring says so."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Training:
    """One network and its training."""

    net: str = "fc"  # or "conv", "vgg"
    activation: str = "tanh"
    batch_norm: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.0  # in hidden fully connected layers; convolutions never have dropout
    hidden: tuple[int, ...] = (800, 800, 800)  # widths of "fc"
    variant: str = "none"  # variant of the bottleneck
    bottleneck: int = 800
    channels: float = 1.0  # factor on the channels of "vgg"
    normalised: bool = True  # whether feedback is scaled to unit norm
    optimizer: str = "sgd"
    learning_rate: float = 5e-4
    batch_size: int = 128
    epochs: int = 50
    max_steps: int = -1
    held_out: int = 0  # number of training samples that are held out and replace the test samples
    train_samples: int | None = None
    test_samples: int | None = None
    scored_samples: int = 10_000  # number of training samples for the training accuracy


@dataclass(frozen=True)
class Tuning:
    """How settings are tuned: the best of several short runs, by the accuracy on held-out training samples."""

    rates: tuple[float, ...]
    activations: tuple[str, ...] = ()  # empty means the activation of the configuration
    epochs: int = 5
    max_steps: int = -1
    train_samples: int | None = None
    held_out: int = 5000


@dataclass(frozen=True)
class Settings:
    """The settings of all experiments."""

    fc: Training = Training()
    conv: Training = Training(net="conv")
    configurations: tuple[str, ...] | None = None  # None means all
    baseline: Tuning = Tuning(rates=(0.003, 0.01, 0.03, 0.1, 0.3))
    bottleneck: Training = Training()
    sizes: tuple[int, ...] = (1, 3, 5, 8, 11, 18, 28, 46, 73, 118, 191, 308, 496, 800)
    recipes: dict[str, Training] = field(
        default_factory=lambda: {
            name: Training(net=name, batch_norm=True, optimizer="adam") for name in ("conv", "vgg")
        }
    )
    effort: Tuning = Tuning(rates=(1e-4, 3e-4, 1e-3, 3e-3), activations=("tanh", "relu"))


PAPER = Settings()
_QUICK = replace(PAPER.recipes["conv"], epochs=2, train_samples=10_000)
_SMOKE = Training(hidden=(32, 32, 32), max_steps=8, train_samples=500, test_samples=200, scored_samples=200)
PRESETS = {
    "full": PAPER,
    "reduced": replace(
        PAPER,
        fc=replace(PAPER.fc, epochs=15),
        conv=replace(PAPER.conv, epochs=15),
        baseline=replace(PAPER.baseline, epochs=2),
        bottleneck=replace(PAPER.bottleneck, epochs=15),
        recipes={
            "conv": replace(PAPER.recipes["conv"], epochs=15),
            "vgg": replace(PAPER.recipes["vgg"], epochs=15, channels=0.25),
        },
        effort=replace(PAPER.effort, epochs=1),
    ),
    "quick": replace(
        PAPER,
        fc=replace(PAPER.fc, epochs=3),
        conv=replace(PAPER.conv, epochs=1),
        baseline=Tuning(rates=(0.01, 0.03, 0.1), max_steps=60),
        bottleneck=replace(PAPER.bottleneck, epochs=5),
        sizes=(1, 18, 118, 308, 800),
        recipes={"conv": _QUICK, "vgg": replace(_QUICK, net="vgg", channels=0.25)},
        effort=Tuning(rates=(3e-4, 1e-3, 3e-3), activations=("tanh", "relu"), max_steps=40),
    ),
    "smoke": replace(
        PAPER,
        fc=_SMOKE,
        conv=replace(_SMOKE, net="conv", max_steps=3),
        configurations=("fc-tanh", "fc-nonorm", "conv-tanh"),
        baseline=Tuning(rates=(0.03,)),
        bottleneck=_SMOKE,
        sizes=(1, 32),
        recipes={"vgg": replace(_SMOKE, net="vgg", channels=0.125, batch_norm=True, optimizer="adam", max_steps=3)},
        effort=Tuning(rates=(1e-3,)),
    ),
}
SEEDS = {"full": 10, "reduced": 1, "quick": 1, "smoke": 1}
