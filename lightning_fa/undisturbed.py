"""Extra passes that leave the model as it was: dry runs on an example, and the measurements of monitors."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torchmetrics import Metric

from lightning_fa.surgery import FEEDBACK

LOGGING = ("log", "log_dict")
REGISTRIES = ("_parameters", "_buffers", "_modules")


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Restore, on leaving, what a forward pass and a ``training_step`` change.

    Restored are the state of every random number generator, buffers (the statistics of batch norm), the mode of every module
    (training or evaluation), torchmetrics, and the plain attributes of every module: numbers, tensors, lists, dicts. Not
    restored are objects of other types that a ``training_step`` changes in place, and files that it writes. ``log`` does
    nothing inside.
    """
    saved = [_Saved(each) for each in module.modules()]
    for name in LOGGING:
        if hasattr(module, name):
            module.__dict__[name] = _mute
    try:
        # Compiled code does not see hooks that are added after it was compiled.
        with _same_draws(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for each in saved:
            each.restore()


@contextmanager
def _same_draws() -> Iterator[None]:
    numpy = sys.modules.get("numpy")
    python_state, numpy_state = random.getstate(), numpy.random.get_state() if numpy else None
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    cpu = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)


def _mute(*_: Any, **__: Any) -> None:
    """Replaces ``log`` inside."""


def _states(metric: Metric) -> dict[str, Any]:
    return {
        name: state.clone() if isinstance(state, Tensor) else list(state)
        for name, state in ((name, getattr(metric, name)) for name in metric._defaults)
    }


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer for name, buffer in module._buffers.items() if buffer is not None}


def _parts(module: nn.Module) -> tuple[list[str], list[str]]:
    own = [name for name, p in module._parameters.items() if p is not None and not name.startswith(FEEDBACK)]
    return own, [name for name, _ in module.named_children()]


class _Saved:
    """The state of one module, to be restored."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.parts = module, _parts(module)
        self.attributes = dict(module.__dict__)
        self.contents = {
            name: value.copy()
            for name, value in module.__dict__.items()
            if type(value) in (list, dict) and name not in REGISTRIES
        }
        self.training = module.training  # of a TorchScript module no plain attribute
        self.buffers = {
            name: (buffer, buffer.clone())
            for name, buffer in _buffers(module).items()
            if not is_lazy(buffer) and not buffer.is_meta  # these have no values
        }
        self.metric = _states(module) if isinstance(module, Metric) else {}

    def restore(self) -> None:
        if _parts(self.module) == self.parts:  # else its first pass has built it, and it must not be built again
            self._restore_attributes()
        self.module.training = self.training
        for name, (buffer, value) in self.buffers.items():
            now = _buffers(self.module).get(name)
            if name.startswith(FEEDBACK) and now is not None and now.shape != buffer.shape:
                continue  # feedback of unknown shape is drawn in the first pass, and stays if that pass is this one
            if not torch.equal(buffer, value):  # values are compared, because batch norm does not count versions
                with torch.no_grad():
                    buffer.resize_(value.shape).copy_(value)  # an observer of channels is empty until its first batch
            if now is not buffer:
                self.module._buffers[name] = buffer
        for name, state in self.metric.items():
            setattr(self.module, name, state)

    def _restore_attributes(self) -> None:
        own = self.module.__dict__
        for name in own.keys() - self.attributes.keys():
            del own[name]
        own.update(self.attributes)
        for name, content in self.contents.items():
            own[name].clear()
            own[name].update(content) if isinstance(content, dict) else own[name].extend(content)
