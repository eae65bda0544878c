"""Measures of a network that learns by feedback, as pure functions of tensors and as torchmetrics.

Angles are in degrees, 0 to 180: the angle of the signed cosine, never that of its absolute value. Accuracies are in percent.
Rows are samples. Everything is computed in float64.
"""

from lightning_fa.metrics.directions import angles, chance, cosines
from lightning_fa.metrics.probes import Readout, logistic, ridge
from lightning_fa.metrics.readouts import accuracy, output_error, readout_error
from lightning_fa.metrics.representations import (
    class_contrast,
    dissimilarity,
    linear_cka,
    representation_similarity,
    similarity,
)
from lightning_fa.metrics.stateful import Alignment, ReadoutAccuracy, RepresentationSimilarity, RidgeProbe
from lightning_fa.metrics.synthetic import antisymmetric_share, implied_loss, relative_error
from lightning_fa.metrics.units import dead_units

__all__ = [
    "Alignment",
    "Readout",
    "ReadoutAccuracy",
    "RepresentationSimilarity",
    "RidgeProbe",
    "accuracy",
    "angles",
    "antisymmetric_share",
    "chance",
    "class_contrast",
    "cosines",
    "dead_units",
    "dissimilarity",
    "implied_loss",
    "linear_cka",
    "logistic",
    "output_error",
    "readout_error",
    "relative_error",
    "representation_similarity",
    "ridge",
    "similarity",
]
