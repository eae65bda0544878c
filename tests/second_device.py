"""A second device without a GPU: tensors that say they are elsewhere, compute as the CPU does, and refuse to meet the CPU's.

A backend is registered for a whole process, so that what uses it runs in a process of its own::

    python -m tests.second_device_jobs

With ``install(doubles=False)`` the device has no float64, as Apple's MPS has none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

NAME = "second"
CROSSING = ("_to_copy", "copy_", "_copy_from", "_copy_from_and_resize", "_local_scalar_dense")
"""Operations that may see both devices: copies, and the reading of one number."""

_doubles = True
_library = torch.library.Library("aten", "IMPL")


class Elsewhere(torch.Tensor):
    """A tensor of the device; ``here`` is its content."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Elsewhere:
        if here.dtype == torch.float64 and not _doubles:
            raise TypeError("The device does not support float64.")
        kept = {"dtype": here.dtype, "strides": here.stride(), "storage_offset": here.storage_offset()}
        outer = torch.Tensor._make_wrapper_subclass(cls, here.shape, device=torch.device(NAME, 0), **kept)
        outer.here = here
        return outer

    def __repr__(self) -> str:
        return f"Elsewhere({self.here})"

    def __reduce_ex__(self, protocol: int) -> Any:
        raise TypeError("The device's memory cannot be pickled: copy to the CPU first.")

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = op.overloadpacket.__name__
        given = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        strangers = [t for t in given if not isinstance(t, Elsewhere) and t.ndim]
        if strangers and name not in CROSSING:
            raise RuntimeError(f"Expected all tensors of {op} on one device, but got {NAME} and {strangers[0].device}.")
        to = kwargs.pop("device", None)
        inner_args, inner_kwargs = tree_map(_content, (args, kwargs))
        out = op(*inner_args, **inner_kwargs)
        if to is not None and torch.device(to).type == "cpu":
            return out
        known = {id(t.here): t for t in given if isinstance(t, Elsewhere)}  # in place: the very tensor
        return tree_map(lambda t: known[id(t)] if id(t) in known else _send(t), out)


def _content(t: Any) -> Any:
    return t.here if isinstance(t, Elsewhere) else t


def _send(value: Any) -> Any:
    return Elsewhere(value) if isinstance(value, Tensor) else value


class _Module:
    """What PyTorch and Lightning ask a device's module."""

    def is_initialized(self) -> bool:
        return True

    is_available = is_initialized

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        """Random numbers are the CPU's."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


def install(doubles: bool = True) -> torch.device:
    """Register the device in this process, with or without float64."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    global _doubles
    _doubles = doubles
    _setup_privateuseone_for_python_backend(rename=NAME, backend_module=_Module())

    def empty(size: Any, dtype: Any = None, **_: Any) -> Tensor:
        return Elsewhere(torch.empty(size, dtype=dtype))

    def strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
        return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))

    def copy(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        _content(target).copy_(_content(source))
        return target

    _library.impl("_copy_from", copy, "PrivateUse1")
    _library.impl("empty.memory_format", empty, "PrivateUse1")
    _library.impl("empty_strided", strided, "PrivateUse1")
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    return torch.device(NAME, 0)
