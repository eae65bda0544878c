"""Settings of gilmer2017. The defaults are the paper's, or ours where the package's docstring says so."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """The paper's set-up. Fields that the paper does not give are ours (see the package's docstring)."""

    hidden: tuple[int, ...] = (800, 800, 800)
    learning_rate: float = 0.1
    batch_size: int = 128
    epochs: int = 10
    max_steps: int = -1
    feedback_bound: float | None = None  # entries of B are U(-bound, bound); None is 1/sqrt(width)
    train_samples: int | None = None
    test_samples: int | None = None
    probe_samples: int = 5000
    probe_steps: tuple[int, ...] = (0, 1, 3, 10, 30, 100, 300, 1000, 3000)
    fresh_draws: int = 10
    scale_bounds: tuple[float, ...] = (0.2, 1.0)
    scale_max_steps: int = -1


PAPER = Settings()
PRESETS = {
    "full": PAPER,
    "quick": replace(PAPER, scale_max_steps=1000),
    "smoke": replace(PAPER, max_steps=30, scale_max_steps=10, train_samples=5000, test_samples=1000, probe_samples=500),
}
SEEDS = {"full": 5, "quick": 1, "smoke": 1}
