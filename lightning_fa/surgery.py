"""How a rule enters a module: the class of the instance is exchanged for a subclass, and later restored.

``torch.compile`` does not guard on forward hooks: with hooks, an attached model could silently run code that was compiled for
the plain model, that is, backpropagation. ``torch.compile`` does guard on a module's type. The subclass keeps the name of its
base and adds no parameter and no entry to ``state_dict``. Its instances can be pickled and deep-copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from torch import nn

_PORT = "_feedback_port"
FEEDBACK = "_feedback"
"""Name of the buffer or parameter that holds a module's feedback, and prefix of the names of a rule's other tensors."""
OWN_FORWARD = "_feedback_own_forward"
"""Where a ``forward`` that the user set on the instance is kept while the rule is attached."""


class Behaviour:
    """Abstract first base of every generated class. A subclass overrides ``forward`` and reads ``self._feedback_port``."""

    _parameters: dict[str, Any]
    _feedback_port: Any
    _feedback_origin: tuple[type[nn.Module], type[Behaviour]]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The generated class cannot be imported: it is rebuilt from its two bases, which can.
        return _blank, self._feedback_origin, self.__dict__

    # Learned feedback is a parameter, so that optimizers and reducers find it. It is kept out of `state_dict`, so that a
    # checkpoint of an attached model loads into the plain model, and the other way round.

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        for name in [key[len(prefix) :] for key in destination if key.startswith(prefix + FEEDBACK)]:
            if not getattr(self._parameters.get(name), "_fsdp_flattened", False):  # FSDP needs these
                del destination[prefix + name]

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str], *lists: list[str]
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *lists)  # type: ignore[misc]
        missing[:] = [key for key in missing if not key.startswith(prefix + FEEDBACK)]


@cache  # one subclass per pair, so that compiled code is shared between layers
def _subclass(base: type[nn.Module], behaviour: type[Behaviour]) -> type[nn.Module]:
    namespace = {
        "__module__": __name__,  # dynamo fixes the sizes of all that a module of `torch.nn.modules` holds, such as targets
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "_feedback_origin": (base, behaviour),
    }
    return type(base.__name__, (behaviour, base), namespace)


def _blank(base: type[nn.Module], behaviour: type[Behaviour]) -> nn.Module:
    cls = _subclass(base, behaviour)  # type: ignore[arg-type]
    return cls.__new__(cls)


def governed(module: nn.Module) -> bool:
    """Whether a rule is in this module (not counting its children)."""
    return isinstance(module, Behaviour)


def adopt(module: nn.Module, behaviour: type[Behaviour], port: object) -> None:
    """Give ``module`` the ``behaviour``, which finds ``port`` as ``self._feedback_port``."""
    enter(module, _subclass(type(module), behaviour), port)  # type: ignore[arg-type]


def port_of(module: nn.Module) -> Any:
    """The port that :func:`adopt` gave to a governed module."""
    return module.__dict__[_PORT]


def enter(module: nn.Module, cls: type[nn.Module], port: object) -> None:
    """Exchange the class of ``module`` for ``cls``, a generated class, and store ``port`` on the module."""
    module.__class__ = cls
    module.__dict__[_PORT] = port
    if "forward" in module.__dict__:
        module.__dict__[OWN_FORWARD] = module.__dict__.pop("forward")


def release(module: nn.Module) -> None:
    """Undo :func:`adopt`, also if FSDP2 or a parametrisation has since derived another class from the generated one."""
    module.__class__ = _without(type(module))
    del module.__dict__[_PORT]
    if OWN_FORWARD in module.__dict__:
        module.__dict__["forward"] = module.__dict__.pop(OWN_FORWARD)


def _without(cls: type[Any]) -> type[Any]:
    origin = cls.__dict__.get("_feedback_origin")
    if origin is not None:
        base: type[Any] = origin[0]
        return base
    namespace = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    bases = tuple(_without(base) if issubclass(base, Behaviour) else base for base in cls.__bases__)
    plain: type[Any] = type(cls)(cls.__name__, bases, namespace)  # type: ignore[misc]
    return plain


@contextmanager
def set_aside(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Inside the context, ``modules`` are plain."""
    held = [(module, type(module), port_of(module)) for module in modules]
    try:
        for module in modules:
            release(module)
        yield
    finally:
        for module, cls, port in held:
            enter(module, cls, port)


def strip_feedback(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Remove learned feedback, in place, from a ``state_dict`` that FSDP has assembled."""
    for name in [name for name in state_dict if name.rpartition(".")[2].startswith(FEEDBACK)]:
        del state_dict[name]
    return state_dict
