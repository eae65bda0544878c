"""One feedback matrix for all blocks: each uses its first rows, rescaled to its own width (Launay et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_fa.feedback import INITIALISERS, Init, generator

CHUNK = (
    256  # rows drawn together: a draw has no prefix of its own, so that rows must not depend on how many are asked for
)
SCALES_WITH_WIDTH = {"uniform": True, "normalised": True, "gaussian": False, "kaiming": False}


def check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ``ValueError`` where a named option is none of its choices."""
    if value not in choices:
        raise ValueError(f"Expected argument `{argument}` to be one of {list(choices)}, but got {value!r}.")


def check_shared(init: Init) -> None:
    """Raise a ``ValueError`` at construction where rows of ``init`` cannot be shared between widths."""
    if not isinstance(init, Tensor) and init not in SCALES_WITH_WIDTH:
        raise ValueError(
            f"Expected argument `init` to be one of {sorted(SCALES_WITH_WIDTH)} or one tensor where feedback is shared, but "
            f"got {init!r}."
        )


def draw_shared(init: Init, scale: float, seed: int, shape: tuple[int, int]) -> Tensor:
    """The first ``width`` rows of M, times ``sqrt(d_max / width)`` where the initialiser depends on the width at all.

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
