"""Feedback matrices: how they are initialised, and how they are drawn independently of the global RNG.

A feedback matrix B carries an error with ``fan_in`` components to the ``width`` units that receive it. Every named
initialiser below returns a ``(width, fan_in)`` float32 CPU tensor.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

Init: TypeAlias = "str | Tensor | Mapping[str, Tensor]"
"""The name of an initialiser, one tensor for every layer, or a tensor per layer name."""


def generator(seed: int, name: str) -> Generator:
    """A CPU generator fixed by ``(seed, name)`` alone: equal on every rank and device, and independent of the global RNG.

    Raises:
        TypeError: ``seed`` is no integer.
    """
    if not hasattr(seed, "__index__"):  # an integer, or numpy's
        raise TypeError(f"Expected argument `seed` to be an int, but got {seed!r}.")
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@contextmanager
def single_precision() -> Iterator[None]:
    """Inside the context, the default dtype is float32, because in float64 the same seed gives other numbers."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def uniform(width: int, fan_in: int, rng: Generator) -> Tensor:
    """U(-1/sqrt(width), 1/sqrt(width)). Source: Nokland 2016, the author's published code."""
    return (2 * torch.rand(width, fan_in, generator=rng) - 1) / width**0.5


def gaussian(width: int, fan_in: int, rng: Generator) -> Tensor:
    """N(0, 1). Source: Launay et al. 2019, their feedback without normalisation."""
    return torch.randn(width, fan_in, generator=rng)


def normalised(width: int, fan_in: int, rng: Generator) -> Tensor:
    """N(0, 1/(width * fan_in)), so that the expected squared Frobenius norm is 1. Source: Launay et al. 2019."""
    return torch.randn(width, fan_in, generator=rng) / (width * fan_in) ** 0.5


def kaiming(width: int, fan_in: int, rng: Generator) -> Tensor:
    """N(0, 2/fan_in). Source: He et al. 2015, eq. 10, with the error's components as the fan."""
    return torch.randn(width, fan_in, generator=rng) * (2 / fan_in) ** 0.5


def xavier(width: int, fan_in: int, rng: Generator) -> Tensor:
    """U(+-sqrt(6/(width + fan_in))). Source: Glorot & Bengio 2010, eq. 16."""
    return (2 * torch.rand(width, fan_in, generator=rng) - 1) * (6 / (width + fan_in)) ** 0.5


def orthogonal(width: int, fan_in: int, rng: Generator) -> Tensor:
    """Orthonormal columns (rows where ``width < fan_in``), uniform (Haar). Source: Saxe et al. 2014."""
    tall = torch.randn(max(width, fan_in), min(width, fan_in), generator=rng)
    q, r = torch.linalg.qr(tall)
    q = q * r.diagonal().sign()  # QR alone is not uniform: fix the signs that LAPACK leaves open
    return (q if width >= fan_in else q.T).contiguous()


INITIALISERS: dict[str, Callable[[int, int, Generator], Tensor]] = {
    f.__name__: f for f in (uniform, gaussian, normalised, kaiming, xavier, orthogonal)
}


def check_init(init: Init) -> None:
    """Check ``init`` when a rule is constructed: ``ValueError`` for an unknown name, ``TypeError`` for no name and no tensors."""
    if isinstance(init, str) and init not in INITIALISERS:
        raise ValueError(f"Expected argument `init` to be one of {sorted(INITIALISERS)} or a tensor, but got {init!r}.")
    tensors = list(init.values()) if isinstance(init, Mapping) else [init]
    if not isinstance(init, str) and not all(isinstance(each, Tensor) for each in tensors):
        raise TypeError(
            f"Expected argument `init` to be a name, a tensor or a tensor per layer name, but got {type(init).__name__}."
        )


def check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ``ValueError`` if ``value`` is none of ``choices``."""
    if value not in choices:
        raise ValueError(f"Expected argument `{argument}` to be one of {list(choices)}, but got {value!r}.")


def draw(init: Init, scale: float, seed: int, name: str, shape: Sequence[int], transposed: bool = False) -> Tensor:
    """The feedback of layer ``name``: ``scale`` times the initialiser, or times the user's own tensor.

    Args:
        init: Name of an initialiser, a tensor, or a tensor per name.
        scale: Factor on either.
        seed: With ``name``, fixes the draw.
        name: Name of the block or layer.
        shape: ``(width, fan_in)``; with ``transposed`` the shape of a weight, ``(fan_in, width...)``.
        transposed: Whether B is stored in the shape of a weight instead of its transpose.

    Raises:
        KeyError: a mapping has no entry for ``name``.
        ValueError: the user's tensor does not have that shape, or ``scale`` is no finite number.
    """
    if not isinstance(scale, (int, float)) or not math.isfinite(scale):
        raise ValueError(f"Expected argument `scale` to be a finite number, but got {scale!r}.")
    if isinstance(init, str):
        first, rest = shape[0], math.prod(shape[1:])
        rng = generator(seed, name)
        if transposed:
            return scale * INITIALISERS[init](rest, first, rng).T.reshape(tuple(shape))
        return scale * INITIALISERS[init](first, rest, rng)
    if isinstance(init, Mapping) and name not in init:
        raise KeyError(f"`init` has no feedback for {name!r}, only for {sorted(init)}. Add a tensor under that name.")
    own = init[name] if isinstance(init, Mapping) else init
    if own.shape != torch.Size(shape):
        raise ValueError(f"The feedback given for {name!r} has shape {tuple(own.shape)}, expected {tuple(shape)}.")
    return scale * own.detach().clone()


CHUNK = 256
"""Shared rows are drawn in chunks of this size, so that a layer's rows do not change when another layer needs more of them."""
SCALES_WITH_WIDTH = {"uniform": True, "normalised": True, "gaussian": False, "kaiming": False}


def check_shared(init: Init) -> None:
    """Raise a ``ValueError``, when a rule is constructed, if rows of ``init`` cannot be shared between widths."""
    if not isinstance(init, Tensor) and init not in SCALES_WITH_WIDTH:
        raise ValueError(
            f"Expected argument `init` to be one of {sorted(SCALES_WITH_WIDTH)} or one tensor, where feedback is shared, but "
            f"got {init!r}."
        )


def draw_shared(init: Init, scale: float, seed: int, shape: tuple[int, int]) -> Tensor:
    """The first ``width`` rows of one matrix M for all blocks (Launay et al. 2019), rescaled to the width.

    The rows are multiplied by ``sqrt(d_max / width)`` if the initialiser depends on the width.

    Args:
        init: Name of an initialiser, or M itself, ``(d_max, outputs)``, which is always rescaled.
        scale: Factor on either.
        seed: Fixes M.
        shape: ``(width, outputs)``.

    Raises:
        ValueError: the user's M has fewer rows, or another number of outputs.
    """
    width, outputs = shape
    if isinstance(init, Tensor):
        if len(init) < width or init.shape[1:] != (outputs,):
            raise ValueError(
                f"The shared feedback has shape {tuple(init.shape)}, expected ({width} or more, {outputs})."
            )
        return scale * init[:width].detach() * (len(init) / width) ** 0.5
    assert isinstance(init, str)
    chunks = range(-(-width // CHUNK))
    rows = torch.cat([INITIALISERS[init](CHUNK, outputs, generator(seed, f"shared rows {i}")) for i in chunks])[:width]
    return scale * rows * ((CHUNK / width) ** 0.5 if SCALES_WITH_WIDTH[init] else 1.0)


def described(value: Any) -> Any:
    """A rule's setting for a checkpoint. A tensor is replaced by its shape and checksum."""
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous()
        digest = hashlib.sha256(data.flatten().view(torch.uint8).numpy().tobytes())
        return f"tensor{tuple(data.shape)}:{digest.hexdigest()[:16]}"
    if isinstance(value, dict):
        return {str(key): described(item) for key, item in value.items()}
    return value
