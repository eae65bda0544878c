"""The layers whose forward is known, and which parameters of any module are matrices."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lightning_fa.surgery import Behaviour
from lightning_fa.wiring.blocks.choice import weights_of
from lightning_fa.wiring.transport.layers.attention import ATTENTION
from lightning_fa.wiring.transport.layers.dense import DENSE
from lightning_fa.wiring.transport.layers.recurrent import RECURRENT

LAYERS: dict[type[nn.Module], type[Behaviour]] = {**DENSE, **ATTENTION, **RECURRENT}

INPUT_ONLY = (nn.Embedding, nn.EmbeddingBag)
"""Layers whose input is an index. No error is sent below them, so they need no backward weight."""

ELEMENTWISE = (nn.LayerNorm, nn.GroupNorm, _NormBase, nn.PReLU, *([nn.RMSNorm] if hasattr(nn, "RMSNorm") else []))
"""Layers whose parameters, of any shape, scale and shift. They have no matrix through which an error is sent."""

ADDED = ("bias_k", "bias_v")
"""Parameters of known layers that have the shape of a matrix but are added or appended."""


def known_base(module: nn.Module) -> type[nn.Module] | None:
    """The nearest known class in the module's MRO; ``None`` if there is none."""
    return next((base for base in type(module).__mro__ if base in LAYERS), None)


def behaviour_of(module: nn.Module) -> type[Behaviour] | None:
    """The behaviour of a layer that runs the forward of a known class unchanged, with plain weights; else ``None``."""
    base, cls = known_base(module), type(module)
    if base is None or any(name in module.__dict__ for name in _FORWARDS):
        return None
    if any(getattr(cls, name, None) is not getattr(base, name, None) for name in _FORWARDS):
        return None
    names = weights_of(module)
    if base in DENSE:
        return LAYERS[base] if names == ["weight"] else None
    return LAYERS[base] if all(name.startswith(_NAMES) and not name.endswith("_orig") for name in names) else None


_FORWARDS = ("forward", "_conv_forward")
_NAMES = ("weight", "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", *ADDED)


def matrices_of(module: nn.Module) -> list[str]:
    """Names of the parameters that carry an error in backpropagation. In an unknown type, of those that may carry an error.

    In an unknown type two kinds of parameters are left out: vectors with any number of dimensions of size 1 (a layer scale, a
    class token), and parameters with a batch dimension of 1, such as position embeddings.
    """
    if isinstance(module, (*INPUT_ONLY, *ELEMENTWISE)):
        return []
    names = weights_of(module)
    if known_base(module) is not None:
        return [name for name in names if name not in ADDED]
    shapes = {name: module._parameters[name].shape for name in names}  # type: ignore[union-attr]
    return [n for n, s in shapes.items() if s.numel() != max(s) and not (len(s) > 2 and s[0] == 1)]
