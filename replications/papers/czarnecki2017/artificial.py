"""The artificial data of appendix C, and points of a grid in the plane."""

import torch
from torch import Tensor

SWAPPED = 0.1


def generator(seed: int) -> torch.Generator:
    """A generator whose numbers do not depend on other random numbers."""
    return torch.Generator().manual_seed(seed)


def gaussian(dimensions: int, samples: int, seed: int) -> Tensor:
    """Points of N(0, I)."""
    return torch.randn(samples, dimensions, generator=generator(seed))


def grid(points: int, extent: float) -> Tensor:
    """``points`` x ``points`` evenly spaced points within +-``extent``, in rows from the bottom left."""
    along = torch.linspace(-extent, extent, points)
    return torch.cartesian_prod(along, along).flip(1)


def label(x: Tensor, name: str, seed: int) -> Tensor:
    """0 or 1 for each row. The names are ``linear`` (a random hyperplane through 0), ``noisy`` (10 % swapped) and ``random``."""
    rng = generator(seed + 1000)
    y = (x @ torch.randn(x.shape[1], generator=rng) > 0).long()
    if name == "linear":
        return y
    if name == "noisy":
        swapped = torch.randperm(len(x), generator=rng)[: round(SWAPPED * len(x))]
        y[swapped] = 1 - y[swapped]
        return y
    if name == "random":
        return torch.randint(2, (len(x),), generator=rng)
    raise ValueError(f"Expected labels out of linear, noisy, random but got {name!r}.")
