"""What stands in the way of a module's forward while a network is divided: an attribute of the instance, until it is removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import nn

from lightning_fa.pipeline.channel import Channel
from lightning_fa.pipeline.errors import Errors
from lightning_fa.pipeline.placeholder import StandIn
from lightning_fa.pipeline.refusals import check_recomputation
from lightning_fa.pipeline.streams import BlockStream
from lightning_fa.wiring.cut import Cut
from lightning_fa.wiring.tensors import inputs_of, with_input


class Place:
    """Where a forward pass is.

    Args:
        stages: The stage of every block.
        stage: Of this process.
    """

    def __init__(self, stages: Sequence[int], stage: int) -> None:
        self.stages, self.stage, self.at = stages, stage, len(stages) - 1

    def behind(self, known: Collection[int]) -> int:
        """The block behind which a module is called; ``known``: behind which the rehearsal saw it, -1 before the first.

        Elsewhere than there it is called by the step itself, behind the head, unless it is called before the first block.
        """
        return 0 if -1 in known and self.at not in known else self.at

    def here(self, index: int) -> bool:
        """Whether this stage runs the block, and what follows it."""
        return self.stages[index] == self.stage

    def is_last(self, index: int) -> bool:
        """Whether the block is the head."""
        return index == len(self.stages) - 1


class Part:
    """Abstract. Replaces ``module.forward``."""

    def __init__(self, module: nn.Module, name: str, place: Place) -> None:
        self.module, self.name, self.place = module, name, place
        self.own: Callable[..., Any] = module.forward
        self._hidden = module.__dict__.get("forward")
        module.__dict__["forward"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_recomputation(self.name)
        return self.run(args, kwargs)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the module returns in this stage."""
        raise NotImplementedError

    def remove(self) -> None:
        """Give the module its own forward back."""
        del self.module.__dict__["forward"]
        if self._hidden is not None:
            self.module.__dict__["forward"] = self._hidden


class Between(Part):
    """A module between blocks, perhaps one for several: it runs where the block does behind which it is called.

    Behind the head it runs everywhere, elsewhere on zeros.

    Args:
        module: The module.
        name: Its name.
        place: Where the pass is.
        behind: The blocks behind which it is called, -1 before the first.
        streams: Random numbers of the blocks.

    Raises:
        ValueError: it is called both before the first block and behind the last.
    """

    def __init__(
        self, module: nn.Module, name: str, place: Place, behind: Collection[int], streams: Sequence[BlockStream]
    ) -> None:
        if -1 in behind and len(place.stages) - 1 in behind:
            raise ValueError(
                f"{name!r} is called before the first block and behind the head, which are in two stages. Use a module for each."
            )
        super().__init__(module, name, place)
        self.behind, self.streams, self.stand_in = behind, streams, StandIn(self.own, name)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        index = self.place.behind(self.behind)
        if not (
            self.place.here(index) or self.place.is_last(index)
        ):  # the loss must depend on what stands for the head
            return self.stand_in(args, kwargs, False)
        with self.streams[index]():
            return self.own(*args, **kwargs)


class Here(Part):
    """A block that this stage runs, with random numbers of its own.

    Args:
        module: The block.
        name: Its name.
        place: Where the pass is.
        index: Its number.
        stream: Its random numbers.
        channel: Where the input comes from, of a stage's first block.
        key: Which input that is.
        errors: What carries the error of its output to all stages, of the head under a direct rule.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        place: Place,
        index: int,
        stream: BlockStream,
        channel: Channel | None,
        key: Any,
        errors: Errors | None,
    ) -> None:
        super().__init__(module, name, place)
        self.index, self.stream, self.channel, self.key, self.errors = index, stream, channel, key, errors

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.place.at = self.index
        if self.channel is not None:
            like = inputs_of(args, kwargs)[self.key]
            args, kwargs = with_input(args, kwargs, self.key, self.channel.receive(like))
        with self.stream():
            out = self.own(*args, **kwargs)
        return out if self.errors is None or not torch.is_grad_enabled() else self.errors.through(out)


class BlockElsewhere(Part):
    """A block that another stage runs. The rule sees it pass, since the block before it is trained at its entrance.

    Args:
        module: The block.
        name: Its name.
        place: Where the pass is.
        index: Its number.
        wiring: The rule in the network, if there is one.
        key: Which of its inputs comes from the block below.
        channel: Where that input is sent, if this stage ends there.
        errors: What brings the error of its output, of the head under a direct rule.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        place: Place,
        index: int,
        wiring: Cut | None,
        key: Any,
        channel: Channel | None,
        errors: Errors | None,
    ) -> None:
        super().__init__(module, name, place)
        self.index, self.wiring, self.key, self.channel, self.errors = index, wiring, key, channel, errors
        self.stand_in = StandIn(self.own, name)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.place.at, last = self.index, self.place.is_last(self.index)
        h = inputs_of(args, kwargs)[self.key]
        if self.channel is not None:
            self.channel.send(h)  # before the block below learns, which takes as long again
        out = self.stand_in(args, kwargs, last)
        if self.wiring is None or not torch.is_grad_enabled():
            return out
        self.wiring.enter(self.index, (h,), {})
        if not last:
            return self.wiring.passed(self.index, out)
        out = self.wiring.leave(out)
        return out if self.errors is None else self.errors.through(out)
