"""Figures for every kind of measurement. They need matplotlib (``pip install lightning-fa[figures]``).

Every function returns a ``matplotlib.figure.Figure`` on a transparent background. Its colours can be told apart with any colour
vision, and are legible on white and on black. Line styles and markers tell the lines apart in grey. :func:`save` writes SVG
and PNG. Nothing here uses pyplot, or changes its state or backend.
"""

from lightning_fa.figures.depth import probe_accuracy_by_depth, weight_norms_by_depth
from lightning_fa.figures.maps import loss_surface, rdm_grid
from lightning_fa.figures.panels import panels
from lightning_fa.figures.style import save
from lightning_fa.figures.time import alignment_over_time, bottleneck, learning_curves

__all__ = [
    "alignment_over_time",
    "bottleneck",
    "learning_curves",
    "loss_surface",
    "panels",
    "probe_accuracy_by_depth",
    "rdm_grid",
    "save",
    "weight_norms_by_depth",
]
