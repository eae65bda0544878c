"""Settings of lillicrap2014. The defaults are the paper's, or ours where the package's docstring says so."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Linear:
    """Task 1 of the paper: a linear network learns a linear function, one example at a time."""

    sizes: tuple[int, int, int] = (30, 20, 10)
    examples: int = 2000
    learning_rate: float = 0.005
    omega: float = 0.01  # W, A ~ U(-omega, omega)
    beta: float = 0.5  # B ~ U(-beta, beta)
    noise: float = 0.01  # standard deviation of node perturbation
    log_every: int = 10


@dataclass(frozen=True)
class Mnist:
    """Task 2: 784-1000-10 logistic units."""

    hidden: int = 1000
    learning_rate: float = 0.1  # for the mean over a batch of 100, which equals 1e-3 for each example
    weight_decay: float = 1e-6
    omega: float = 0.1
    beta: float = 0.5
    density: float = 0.5  # fraction of the weights that the sparse variant keeps
    batch_size: int = 100
    epochs: int = 125
    max_steps: int = -1
    train_samples: int | None = None
    test_samples: int | None = None
    test_epochs: tuple[int, ...] = (1, 2, 3, 5, 10, 15, *range(20, 126, 5))
    angles_per_epoch: int = 10  # in the first 10 epochs; later epochs have one


@dataclass(frozen=True)
class Teacher:
    """Task 3: a student learns the function of a nonlinear teacher."""

    teacher: tuple[int, ...] = (30, 20, 10, 10)
    layers: int = 3  # layers of neurons: 3 means 30-20-10 and 4 means 30-20-10-10
    examples: int = 1_500_000
    learning_rate: float = 1e-3
    teacher_bound: float = 1.0
    omega: float = 0.01
    beta: float = 0.2
    test_points: int = 5000
    measurements: int = 60


@dataclass(frozen=True)
class Flow:
    """Figure 3: three neurons in a row, two weights."""

    seconds: float = 60.0
    dt: float = 0.01
    grid: int = 81  # starting points per side of the square [-2, 2]^2


@dataclass(frozen=True)
class MeanFlow:
    """Theorem 1: the mean dynamics of feedback alignment in task 1, from W = A = 0."""

    sizes: tuple[int, int, int] = (30, 20, 10)
    seconds: float = 60.0
    dt: float = 0.01
    beta: float = 0.5
    repeated_column: bool = False  # whether two columns of B are equal, so that B^+ B is not the identity
    log_every: int = 50


@dataclass(frozen=True)
class SinglePair:
    """Theorem 2: learning one pair of x and y* over and over, from W = A = 0."""

    sizes: tuple[int, int, int] = (30, 20, 10)
    steps: int = 3000
    learning_rate: float = 0.01
    beta: float = 0.5
    omega: float = 0.0
    log_every: int = 10


@dataclass(frozen=True)
class Preset:
    """Settings of all experiments."""

    linear: Linear = field(default_factory=Linear)
    sweep: Linear = field(default_factory=lambda: Linear(examples=20_000, learning_rate=1e-3, log_every=20))
    pbp: Linear = field(default_factory=lambda: Linear(examples=4000))
    mnist: Mnist = field(default_factory=Mnist)
    teacher: Teacher = field(default_factory=Teacher)
    flow: Flow = field(default_factory=Flow)
    mean_flow: MeanFlow = field(default_factory=MeanFlow)
    single_pair: SinglePair = field(default_factory=SinglePair)


PAPER = Preset()
PRESETS = {
    "full": PAPER,
    "quick": replace(
        PAPER,
        mnist=replace(PAPER.mnist, epochs=15, test_epochs=(1, 2, 3, 5, 10, 15)),
        teacher=replace(PAPER.teacher, examples=60_000),
    ),
    "smoke": Preset(
        linear=replace(PAPER.linear, examples=500),
        sweep=replace(PAPER.sweep, examples=600),
        pbp=replace(PAPER.pbp, examples=600),
        mnist=replace(PAPER.mnist, epochs=1, max_steps=10, train_samples=1000, test_samples=300, test_epochs=(1,)),
        teacher=replace(PAPER.teacher, examples=300, test_points=100, measurements=5),
        flow=replace(PAPER.flow, grid=41, dt=0.05),
        mean_flow=replace(PAPER.mean_flow, dt=0.05),
        single_pair=replace(PAPER.single_pair, steps=1000),
    ),
}
SEEDS = {"full": 20, "quick": 2, "smoke": 2}
OMEGAS = (1e-4, 1e-3, 0.01, 0.05, 0.1, 0.125, 0.15, 0.2, 0.25)
