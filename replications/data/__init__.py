"""Data sets in memory: sources, checks of the files, and batches."""

from replications.data.batches import batches as batches
from replications.data.dataset import Dataset as Dataset
from replications.data.source import NAMES as NAMES
from replications.data.source import load as load
