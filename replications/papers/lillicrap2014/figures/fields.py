"""Figure S1: input weights of hidden units, as images."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lightning_fa.figures.panels import sheet
from lightning_fa.figures.style import styled
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.lillicrap2014.mnist import fields_file
from replications.reporting.figures import keep

TITLES = {"mnist-bp": "backpropagation", "mnist-fa": "feedback alignment"}


@styled
def figs1(session: Session, groups: Mapping[str, Sequence[Run]]) -> None:
    """The input weights of 36 units of the first seed, for both rules side by side."""
    figure, axes = sheet(2, title=session.title, share=False)
    for axis, (name, title) in zip(axes, TITLES.items(), strict=True):
        weights = torch.load(fields_file(session, groups[name][0]), weights_only=True)
        axis.imshow(mosaic(weights).numpy(), cmap="gray")
        axis.grid(visible=False)
        axis.set(title=title, xticks=[], yticks=[])
    keep(session, "figS1", figure, image=True)


def mosaic(weights: Tensor) -> Tensor:
    """A square of square images, each scaled to [0, 1]: [n * n, side * side] -> [n * (side + 1), n * (side + 1)]."""
    n, side = round(len(weights) ** 0.5), round(weights.shape[1] ** 0.5)
    low, high = weights.amin(dim=1, keepdim=True), weights.amax(dim=1, keepdim=True)
    images = ((weights - low) / (high - low)).view(n, n, side, side)
    padded = torch.nn.functional.pad(images, (0, 1, 0, 1), value=1.0)
    return padded.permute(0, 2, 1, 3).reshape(n * (side + 1), n * (side + 1))
