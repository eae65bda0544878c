"""Settings of czarnecki2017. The defaults are the paper's, or ours where the package's docstring says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Mnist:
    """One deep network on MNIST (figures 3, 4, 5, 7, 8; footnote 5)."""

    depth: int = 20
    activation: str = "relu"
    width: int = 512
    learning_rate: float = 3e-5
    penalty: float = 1e-5  # L2, on the weight matrices of the network
    batch_size: int = 128
    epochs: int = 100
    max_steps: int = -1
    train_samples: int | None = None
    test_samples: int | None = None
    rdm_samples: int = 400
    probe_samples: int | None = None
    converged_layers: int = 3  # number of layers with logistic probes, from the lowest
    scored_samples: int = 10000  # number of samples for the final training accuracy


@dataclass(frozen=True)
class Table2:
    """Linear and deep linear models on artificial data."""

    dataset: str = "linear"
    dimensions: int = 2
    samples: int = 100
    learning_rate: float = 1e-2
    steps: int = 10000
    deep_learning_rate: float = 1e-3
    deep_steps: int = 3000
    deep_layers: int = 10
    deep_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)  # the log loss is averaged over these rates and three starts


@dataclass(frozen=True)
class Grid:
    """A ReLU network on points of a grid in the plane (figures 2 and 9)."""

    loss: str = "mse"
    labels: str = "linear"
    inputs: str = "both"
    points: int = 15  # along each axis
    extent: float = 2.0
    depth: int = 5
    width: int = 50
    learning_rate: float = 1e-3
    steps: int = 100_000
    measured: int = 25  # number of measured steps, evenly spaced in the logarithm


@dataclass(frozen=True)
class Theorem1:
    """Linear regression with a linear SG module and line search."""

    dimensions: int = 5
    samples: int = 50
    learning_rate: float = 1e-3
    steps: int = 4000


@dataclass(frozen=True)
class Tracking:
    """A deep linear network whose SG module tracks the true gradient (proposition 2, corollary 1)."""

    dimensions: int = 5
    samples: int = 100
    width: int = 6
    below: int = 2  # weight matrices below the SG module
    above: int = 2
    learning_rate: float = 0.05
    steps: int = 10000


@dataclass(frozen=True)
class Spurious:
    """The two scalars of appendix A."""

    learning_rate: float = 0.05
    steps: int = 2000


@dataclass(frozen=True)
class Unification:
    """The random network on which the formulas of table 1 are compared with the library's rules."""

    samples: int = 12
    inputs: int = 5
    width: int = 7
    outputs: int = 3
    alpha: float = 0.7


@dataclass(frozen=True)
class StepTime:
    """Time per step at the paper's largest depth."""

    depth: int = 50
    width: int = 512
    batch_size: int = 128
    rounds: int = 10


DEPTHS = (3, 5, 10, 20, 50)


@dataclass(frozen=True)
class Settings:
    """The settings of all experiments."""

    mnist: Mnist = Mnist()
    everywhere_learning_rate: float = 3e-5  # of networks whose SG modules learn from SG modules
    fig8_probe_samples: int | None = None  # of the networks of figure 8; the others have those of `mnist`
    depths: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: dict.fromkeys(("relu", "sigmoid"), DEPTHS))
    table2: Table2 = Table2()
    table2_sizes: tuple[tuple[int, int], ...] = ((2, 100), (100, 1000))
    grid: Grid = Grid()
    grid_labels: tuple[str, ...] = ("linear", "random")
    theorem1: Theorem1 = Theorem1()
    tracking: Tracking = Tracking()
    spurious: Spurious = Spurious()
    unification: Unification = Unification()
    step_time: StepTime = field(default_factory=StepTime)


PAPER = Settings()
PRESETS = {
    "full": PAPER,
    "reduced": replace(
        PAPER,
        mnist=replace(PAPER.mnist, learning_rate=3e-4, max_steps=2500, epochs=-1, probe_samples=10000),
        depths={"relu": DEPTHS, "sigmoid": (3, 5, 10, 20)},
        grid=replace(PAPER.grid, steps=10_000),
    ),
    "quick": replace(
        PAPER,
        mnist=replace(
            PAPER.mnist, depth=10, learning_rate=3e-4, max_steps=2000, epochs=-1, probe_samples=5000, converged_layers=2
        ),
        everywhere_learning_rate=3e-4,
        fig8_probe_samples=5000,
        depths={"relu": (3, 10), "sigmoid": (3, 10)},
        table2=replace(PAPER.table2, steps=3000, deep_steps=500),
        grid=replace(PAPER.grid, steps=4000),
        step_time=replace(PAPER.step_time, rounds=4),
    ),
    "smoke": replace(
        PAPER,
        mnist=replace(
            PAPER.mnist,
            depth=4,
            width=32,
            learning_rate=1e-3,
            max_steps=30,
            epochs=-1,
            train_samples=2000,
            test_samples=500,
            rdm_samples=100,
            probe_samples=300,
            converged_layers=2,
            scored_samples=500,
        ),
        everywhere_learning_rate=1e-3,
        fig8_probe_samples=300,
        depths={"relu": (4,)},
        table2=replace(PAPER.table2, steps=100, deep_steps=20),
        table2_sizes=((2, 100),),
        grid=replace(PAPER.grid, points=8, steps=100, measured=4),
        grid_labels=("linear",),
        theorem1=replace(PAPER.theorem1, steps=1000),
        tracking=replace(PAPER.tracking, steps=1000),
        spurious=replace(PAPER.spurious, steps=300),
        step_time=replace(PAPER.step_time, depth=6, width=64, rounds=2),
    ),
}
SEEDS = {"full": 5, "reduced": 3, "quick": 1, "smoke": 1}
