"""Data sets held in memory: where they come from, whether they are intact, and batches made of them."""

from replications.data.batches import batches as batches
from replications.data.dataset import Dataset as Dataset
from replications.data.source import NAMES as NAMES
from replications.data.source import load as load
