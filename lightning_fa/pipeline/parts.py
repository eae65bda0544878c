"""What stands in the way of a module's forward while a network is divided: an attribute of the instance, until it is removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lightning_fa.pipeline.channel import Channel
from lightning_fa.pipeline.errors import Errors
from lightning_fa.pipeline.placeholder import StandIn
from lightning_fa.pipeline.streams import BlockStream
from lightning_fa.wiring.cut import CutWiring


class Part:
    """Abstract. Replaces ``module.forward``."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.own: Callable[..., Any] = module.forward
        self._hidden = module.__dict__.get("forward")
        module.__dict__["forward"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def remove(self) -> None:
        """Give the module its own forward back."""
        del self.module.__dict__["forward"]
        if self._hidden is not None:
            self.module.__dict__["forward"] = self._hidden


class Here(Part):
    """A module that this stage runs, with random numbers of its own.

    Args:
        module: A block, or what lies behind one.
        stream: Of the block.
        channel: Where the input comes from, of a stage's first block.
        key: Which input that is.
        errors: What carries the error of its output to all stages, of the head under a direct rule.
    """

    def __init__(
        self,
        module: nn.Module,
        stream: BlockStream,
        channel: Channel | None = None,
        key: Any = None,
        errors: Errors | None = None,
    ) -> None:
        super().__init__(module)
        self.stream, self.channel, self.key, self.errors = stream, channel, key, errors

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.channel is not None:
            inputs: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
            inputs[self.key] = self.channel.receive(inputs[self.key])
            args, kwargs = tuple(inputs[i] for i in range(len(args))), {k: inputs[k] for k in kwargs}
        with self.stream():
            out = self.own(*args, **kwargs)
        return out if self.errors is None or not torch.is_grad_enabled() else self.errors.through(out)


class Elsewhere(Part):
    """A module between blocks that other stages run."""

    def __init__(self, module: nn.Module, name: str, last: bool) -> None:
        super().__init__(module)
        self.stand_in = StandIn(self.own, name, last)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.stand_in(args, kwargs)


class BlockElsewhere(Elsewhere):
    """A block that another stage runs. The rule sees it pass, since the block before it is trained at its entrance.

    Args:
        module: The block.
        index: Its number.
        wiring: The rule in the network, if there is one.
        key: Which of its inputs comes from the block below.
        name: Of the block.
        last: Whether it is the head.
        channel: Where that input is sent, if this stage ends there.
        errors: What brings the error of its output, of the head under a direct rule.
    """

    def __init__(
        self,
        module: nn.Module,
        index: int,
        wiring: CutWiring | None,
        key: Any,
        name: str,
        last: bool,
        channel: Channel | None,
        errors: Errors | None = None,
    ) -> None:
        super().__init__(module, name, last)
        self.index, self.wiring, self.key, self.last, self.channel = index, wiring, key, last, channel
        self.errors = errors

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        h = inputs[self.key]
        if self.channel is not None:
            self.channel.send(h)  # before the block below learns, which takes as long again
        out = self.stand_in(args, kwargs)
        if self.wiring is None or not torch.is_grad_enabled():
            return out
        self.wiring.enter(self.index, (h,), {})
        if not self.last:
            return self.wiring.passed(self.index, out)
        out = self.wiring.leave(out)
        return out if self.errors is None else self.errors.through(out)
