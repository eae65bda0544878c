"""Mean and band over seeds."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

K = TypeVar("K", bound=Hashable)
Band: TypeAlias = 'Literal["ci95", "std"]'
# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom. With more, the normal's quantile is used.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def mean_and_band(seeds: Sequence[Mapping[K, float]], band: Band) -> tuple[list[K], Any, Any]:
    """The keys that all seeds have, the mean at each key, and half the width of the band (0 for one seed).

    Args:
        seeds: One mapping per seed, from step, layer or size to value.
        band: 95 % confidence interval of the mean (Student's t), or one standard deviation.
    """
    if band not in ("ci95", "std"):
        raise ValueError(f"Expected argument `band` to be 'ci95' or 'std', but got {band!r}.")
    keys = [key for key in seeds[0] if all(key in seed for seed in seeds)]
    values = np.array([[seed[key] for key in keys] for seed in seeds], dtype=float)
    if len(seeds) == 1:
        return keys, values[0], np.zeros(len(keys))
    half = values.std(axis=0, ddof=1)
    if band == "ci95":
        freedom = len(seeds) - 1
        half = half * (T95[freedom - 1] if freedom <= len(T95) else 1.96) / np.sqrt(len(seeds))
    return keys, values.mean(axis=0), half


def explained(lines: Iterable[Any], band: Band, *, shown: bool = True) -> str | None:
    """A figure's note on lines that are lists of seeds: the number of seeds, and the meaning of the bands."""
    counts = sorted({len(seeds) for seeds in lines if not isinstance(seeds, Mapping)})
    if not counts:
        return None
    many = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    if counts[-1] == 1:
        return "1 seed"
    meaning = {"ci95": "95 % interval of the mean", "std": "one standard deviation"}[band]
    return f"mean of {many} seeds" + (f"; band: {meaning}" if shown else "")


def plot_band(ax: Any, x: Any, mean: Any, half: Any, label: str, style: dict[str, Any]) -> None:
    """Draw a line and the band around it."""
    ax.plot(x, mean, label=label, **style)
    if np.any(half):
        ax.fill_between(x, mean - half, mean + half, color=style["color"], alpha=0.25, linewidth=0)
