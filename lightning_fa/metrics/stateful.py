"""The measures as ``torchmetrics.Metric``: updated with batches, reduced over ranks, drawn by ``plot()``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from lightning_fa.labels import known
from lightning_fa.metrics.directions import angles_and_cosines
from lightning_fa.metrics.probes import Readout
from lightning_fa.metrics.representations import representation_similarity, similarity
from lightning_fa.ops.wide import double, has_float64


def _zero(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


class _Measure(Metric):
    """Abstract. The base of all measures below."""

    is_differentiable: bool | None = False
    full_state_update: bool | None = False

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        @functools.wraps(fn)  # torchmetrics reads its name
        def moved(t: Tensor) -> Tensor:
            there = fn(torch.zeros(1)).device if t.dtype == torch.float64 else t.device
            # If the device has no float64, sums in float64 stay on the CPU.
            return t if t.dtype == torch.float64 and not has_float64(there) else fn(t)

        return super()._apply(moved, exclude_state)

    def plot(self, value: Any = None, ax: Any = None) -> Any:
        """Draw the current value, or ``value``: one result or a list of results over time."""
        return self._plot(value, ax)


class Alignment(_Measure):
    """Angle (degrees) and cosine between two vectors per sample: mean and standard deviation over samples.

    Samples whose vector is zero have no direction and are left out.

    Returns:
        ``{"angle", "angle_std", "cosine", "cosine_std"}``; nan if no sample has a direction.

    Example:
        >>> metric = Alignment()
        >>> result = metric(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        >>> round(result["angle"].item(), 6), round(result["angle_std"].item(), 6)
        (45.0, 45.0)
    """

    higher_is_better: bool | None = None
    sums: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # rows: angle, cosine; columns: sum, sum of squares, number
        self.add_state("sums", default=_zero(2, 3), dist_reduce_fx="sum")
        self.set_dtype(torch.float64)

    def update(self, u: Tensor, v: Tensor) -> None:
        """Add the rows of two tensors of one shape."""
        self.sums += moments(u, v).to(self.sums)

    def compute(self) -> dict[str, Tensor]:
        return summary(self.sums)


def moments(u: Tensor, v: Tensor) -> Tensor:
    """Sum, sum of squares and number of the rows' angles and cosines, ``(2, 3)``, to be summed over batches and ranks."""
    rows = torch.stack(angles_and_cosines(u, v))
    rows = rows[:, rows.isfinite().all(dim=0)]
    count = torch.full_like(rows[:, :1].sum(dim=1), rows.shape[1])
    return torch.stack([rows.sum(dim=1), rows.square().sum(dim=1), count], dim=1)


def summary(sums: Tensor) -> dict[str, Tensor]:
    """Mean and standard deviation (of the population) of angle and cosine from the sum of :func:`moments`."""
    mean = sums[:, 0] / sums[:, 2]
    std = (sums[:, 1] / sums[:, 2] - mean.square()).clamp_min(0).sqrt()
    return {"angle": mean[0], "angle_std": std[0], "cosine": mean[1], "cosine_std": std[1]}


class ReadoutAccuracy(_Measure):
    """Percent of samples that a feedback matrix, used as a readout, classifies correctly: ``argmax(B^T h)``.

    Samples of class -100 are left out.

    Example:
        >>> metric = ReadoutAccuracy()
        >>> metric(torch.eye(2), torch.eye(2), torch.tensor([0, 0])).item()
        50.0
    """

    higher_is_better: bool | None = True
    plot_lower_bound: float | None = 0.0
    plot_upper_bound: float | None = 100.0
    correct: Tensor
    total: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("correct", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, h: Tensor, feedback: Tensor, labels: Tensor) -> None:
        """Add a batch: ``h`` ``(rows, width)``, B ``(width, outputs)``, classes ``(rows,)``."""
        self.correct += ((h @ feedback).argmax(dim=-1) == labels).sum()
        self.total += known(labels).sum()

    def compute(self) -> Tensor:
        return 100.0 * self.correct / self.total


class RidgeProbe(_Measure):
    """Mean squared error of the best linear map from h to values, exact over any number of batches and ranks.

    The state is sums of products, ``(features + outputs + 1)^2`` numbers for any number of samples. :meth:`readout` returns
    the map.

    Args:
        features: Width of h.
        outputs: Width of the values.
        penalty: p of :func:`~lightning_fa.metrics.ridge`.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Example:
        >>> probe = RidgeProbe(features=1, outputs=1)
        >>> h = torch.tensor([[0.0], [1.0], [2.0]])
        >>> round(probe(h, 2 * h + 1).item(), 9)
        0.0
    """

    higher_is_better: bool | None = False
    products: Tensor

    def __init__(self, features: int, outputs: int, penalty: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features, self.outputs, self.penalty = features, outputs, penalty
        size = features + outputs + 1
        self.add_state("products", default=_zero(size, size), dist_reduce_fx="sum")
        self.set_dtype(torch.float64)

    def update(self, h: Tensor, values: Tensor) -> None:
        """Add a batch: ``h`` ``(rows, features)``, ``values`` ``(rows, outputs)``."""
        x, y = (double(t.detach()).reshape(len(t), -1).to(self.products) for t in (h, values))
        if x.shape[1] != self.features or y.shape[1] != self.outputs:
            raise ValueError(
                f"Expected {self.features} features and {self.outputs} outputs, but got {x.shape[1]} and {y.shape[1]}."
            )
        rows = torch.cat([x, y, torch.ones_like(x[:, :1])], dim=1)
        self.products += rows.T @ rows

    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        total = self.products[-1, -1]
        mean = self.products[-1, :-1] / total
        return total, mean, self.products[:-1, :-1] - total * torch.outer(mean, mean)

    def readout(self) -> Readout:
        """The map fitted to all batches so far."""
        _, mean, scatter = self._moments()
        n = self.features
        gram = scatter[:n, :n] + self.penalty * torch.eye(n).to(scatter)
        if self.penalty > 0:
            weight = torch.linalg.solve(gram, scatter[:n, n:])
        else:
            weight = torch.linalg.pinv(gram, hermitian=True, rtol=1e-12) @ scatter[:n, n:]
        return Readout(weight, mean[n:] - mean[:n] @ weight)

    def compute(self) -> Tensor:
        total, _, scatter = self._moments()
        weight = self.readout().weight
        residual = torch.cat([-weight, torch.eye(self.outputs).to(weight)])
        return (residual.T @ scatter @ residual).trace() / (total * self.outputs)


class RepresentationSimilarity(_Measure):
    """Pearson's correlation between the RSMs of two representations of the same samples (two layers, or two runs).

    Example:
        >>> metric = RepresentationSimilarity()
        >>> h = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        >>> round(metric(h, 3 * h + 1).item(), 6)
        1.0
    """

    higher_is_better: bool | None = True
    plot_lower_bound: float | None = -1.0
    plot_upper_bound: float | None = 1.0
    first: list[Tensor]
    second: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("first", default=[], dist_reduce_fx="cat")
        self.add_state("second", default=[], dist_reduce_fx="cat")

    def update(self, first: Tensor, second: Tensor) -> None:
        """Add the same samples in both representations, ``(rows, ...)`` each; the widths may differ."""
        if len(first) != len(second):
            raise ValueError(f"Expected the same samples twice, but got {len(first)} and {len(second)} rows.")
        self.first.append(first.detach().reshape(len(first), -1))
        self.second.append(second.detach().reshape(len(second), -1))

    def compute(self) -> Tensor:
        return representation_similarity(similarity(dim_zero_cat(self.first)), similarity(dim_zero_cat(self.second)))
