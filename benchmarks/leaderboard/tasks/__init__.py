"""The tasks, one idea per file; a new one is a row in ``TASKS``."""

from benchmarks.leaderboard.task import Task
from benchmarks.leaderboard.tasks.autoencoder import AUTOENCODER
from benchmarks.leaderboard.tasks.images import CIFAR10, MNIST

TASKS: dict[str, Task] = {task.name: task for task in (MNIST, CIFAR10, AUTOENCODER)}
