"""The weight layers a transport rule governs: what each type's forward is, said once for all rules."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lightning_fa.surgery import Behaviour
from lightning_fa.wiring.blocks import weights_of
from lightning_fa.wiring.layers.attention import ATTENTION
from lightning_fa.wiring.layers.dense import DENSE
from lightning_fa.wiring.layers.recurrent import RECURRENT

LAYERS: dict[type[nn.Module], type[Behaviour]] = {**DENSE, **ATTENTION, **RECURRENT}

INPUT_ONLY = (nn.Embedding, nn.EmbeddingBag)
"""Layers whose input is an index: no error passes below them, so that every rule governs them as they are."""

ELEMENTWISE = (nn.LayerNorm, nn.GroupNorm, _NormBase, nn.PReLU, *([nn.RMSNorm] if hasattr(nn, "RMSNorm") else []))
"""Layers whose parameters, of whatever shape, scale and shift: there is no matrix to transport an error through."""

ADDED = ("bias_k", "bias_v")
"""Parameters of known layers that have the shape of a matrix, and are added or appended."""


def behaviour_of(module: nn.Module) -> type[Behaviour] | None:
    """The behaviour for this layer's type or the nearest of its bases, ``None`` for a type not known."""
    return next((LAYERS[base] for base in type(module).__mro__ if base in LAYERS), None)


def is_stock(module: nn.Module) -> bool:
    """Whether the module runs PyTorch's own forward for its known type, which is what the behaviour repeats.

    A subclass with a forward of its own does not, nor does an instance whose ``forward`` was replaced, nor a layer whose
    weight is computed from other parameters in every forward pass (pruning).
    """
    known = next((cls for cls in type(module).__mro__ if cls in LAYERS), None)
    if known is None or "forward" in vars(module):
        return False
    names = ("forward", "_conv_forward")
    same = all(getattr(type(module), name, None) is getattr(known, name, None) for name in names)
    return same and not any(name.endswith("_orig") for name in module._parameters)


def matrices_of(module: nn.Module) -> list[str]:
    """Names of the parameters that carry an error in backpropagation, or that may do so in a type not known.

    Not counted are vectors, however many dimensions of size 1 they have (a layer scale, a class token), and parameters
    with a leading 1 as a placeholder of the batch, such as position embeddings, in types not known.
    """
    if isinstance(module, (*INPUT_ONLY, *ELEMENTWISE)):
        return []
    names = weights_of(module)
    if behaviour_of(module) is not None:
        return [name for name in names if name not in ADDED]
    shapes = {name: module._parameters[name].shape for name in names}  # type: ignore[union-attr]
    return [n for n, s in shapes.items() if s.numel() != max(s) and not (len(s) > 2 and s[0] == 1)]


__all__ = ["ELEMENTWISE", "INPUT_ONLY", "LAYERS", "behaviour_of", "is_stock", "matrices_of"]
