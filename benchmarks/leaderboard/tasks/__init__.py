"""The tasks, one idea per file; a new one is a row in ``TASKS``."""

from benchmarks.leaderboard.task import Task
from benchmarks.leaderboard.tasks.autoencoder import AUTOENCODER
from benchmarks.leaderboard.tasks.convolutions import CNN
from benchmarks.leaderboard.tasks.graphs import GRAPHS
from benchmarks.leaderboard.tasks.images import CIFAR10, MNIST
from benchmarks.leaderboard.tasks.sequences import CUE, CUE_CELL, LINES, SHAKESPEARE, SUBLAYERS
from benchmarks.leaderboard.tasks.teacher import TEACHERS

ALL = (MNIST, CIFAR10, AUTOENCODER, *TEACHERS, *GRAPHS, CUE, CUE_CELL, SHAKESPEARE, SUBLAYERS, LINES, CNN)
TASKS: dict[str, Task] = {task.name: task for task in ALL}
