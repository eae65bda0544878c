"""Data sets held in memory: where they come from, whether they are intact, and batches made of them."""

from replications.datasets.batches import batches as batches
from replications.datasets.dataset import Dataset as Dataset
from replications.datasets.source import NAMES as NAMES
from replications.datasets.source import load as load
