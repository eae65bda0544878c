"""What every process of the tests would otherwise do again and again, done once."""

import functools
from importlib.metadata import entry_points

import torch
from lightning.fabric.utilities import registry

# Each Trainer reads the metadata of every installed package for callbacks of other projects, which takes 25 ms where a
# whole training of these tests takes 70. What is installed does not change while they run.
registry.entry_points = functools.cache(entry_points)

# `torch.manual_seed` notes for every kind of device that is not there, with a stack trace as text, what to do when it comes.
for device in (torch.cuda, torch.mtia, torch.xpu):
    if not device.is_available():
        device.manual_seed_all = lambda seed: None
