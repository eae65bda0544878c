"""Settings of cheung2019. The defaults are the paper's, or ours where the package's docstring says so."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Two networks of 5 weight layers. 3 of these layers are square and can be coupled."""

    hidden: tuple[int, ...] = (1024, 1024, 1024, 1024)
    learning_rate: float = 0.05
    batch_size: int = 128
    epochs: int = 50
    max_steps: int = -1
    pairings: tuple[str, ...] = ("reversed", "same")
    coupled: str = "none"
    pairing: str = "reversed"
    train_samples: int | None = None
    test_samples: int | None = None
    measure_every: int = 100
    curve_samples: int = 2000


PAPER = Settings()
PRESETS = {
    "full": PAPER,
    "quick": replace(PAPER, max_steps=3000),
    "smoke": replace(
        PAPER, hidden=(64,) * 4, max_steps=40, train_samples=1000, test_samples=200, measure_every=10, curve_samples=100
    ),
}
SEEDS = {"full": 3, "quick": 3, "smoke": 1}
