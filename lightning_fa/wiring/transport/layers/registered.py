"""Modules whose forward uses the weights of their children in functional calls, without calling the children."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_SWIN = "torchvision.models.swin_transformer.ShiftedWindowAttention"
_REGISTERED: dict[str, tuple[str, ...]] = dict.fromkeys((_SWIN, f"{_SWIN}V2"), ("qkv.weight", "proj.weight"))


def register_layer(cls: type[nn.Module], weights: Sequence[str]) -> None:
    """Tell transport rules that ``cls.forward`` uses these weights itself, in operators that are linear in its input.

    While ``cls.forward`` runs, the pair (W, B) stands in place of each weight W: W gives the value and receives its own
    gradient, and B carries the error. An operator on a weight alone (a transposition, a mask) is applied to both W and B.
    Weights that a module holds itself need no registration. Weights of its children, used in a functional call, need it::

        class Tower(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = nn.Linear(8, 8)

            def forward(self, x):
                return F.linear(x, self.inner.weight).tanh()

        fa.register_layer(Tower, ["inner.weight"])

    Subclasses that inherit ``forward`` are registered too. Torchvision's shifted-window attention is registered already.

    Args:
        cls: The class of the module.
        weights: Names of parameters relative to the module: ``"qkv.weight"``.

    Raises:
        TypeError: ``cls`` is no module class, or ``weights`` is one string.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"Expected argument `cls` to be a class of modules, but got {cls!r}.")
    if isinstance(weights, str):
        raise TypeError(
            f"Expected argument `weights` to be a list of names, but got the string {weights!r}: [{weights!r}]."
        )
    _REGISTERED[_name(cls)] = tuple(weights)


def registered(module: nn.Module) -> tuple[str, ...]:
    """The weights registered for the module's forward; none for an unregistered class with a forward of its own."""
    for cls in type(module).__mro__:
        if "forward" in cls.__dict__ or _name(cls) in _REGISTERED:
            return _REGISTERED.get(_name(cls), ())
    return ()


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
