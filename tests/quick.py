"""What every process of the tests would otherwise do again and again, done once."""

import functools
from importlib.metadata import entry_points

from lightning.fabric.utilities import registry

# Each Trainer reads the metadata of every installed package for callbacks of other projects, which takes 25 ms where a
# whole training of these tests takes 70. What is installed does not change while they run.
registry.entry_points = functools.cache(entry_points)
