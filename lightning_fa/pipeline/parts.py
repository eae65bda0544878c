"""Replacements of ``module.forward`` in a divided network: attributes of the instance, until they are removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import nn

from lightning_fa.pipeline.channel import Channel
from lightning_fa.pipeline.errors import Errors
from lightning_fa.pipeline.placeholder import StandIn
from lightning_fa.pipeline.refusals import check_recomputation
from lightning_fa.pipeline.strays import Strays
from lightning_fa.pipeline.streams import BlockStream
from lightning_fa.wiring.cut import Cut
from lightning_fa.wiring.tensors import argument, exchange


class Place:
    """The position of a forward pass: the block that was called last.

    Args:
        stages: The stage of every block.
        stage: The stage of this process.
        strays: Checks what enters a block from another stage.
    """

    def __init__(self, stages: Sequence[int], stage: int, strays: Strays) -> None:
        self.stages, self.stage, self.strays, self.at = stages, stage, strays, len(stages) - 1

    def behind(self, known: Collection[int]) -> int:
        """The block whose stage runs a module that is called now: the block called last, or block 0 before the first.

        Before the first block the position is still the head of the pass before. A module is therefore taken to be before the
        first block if the dry run saw it there, and not behind the block called last.

        Args:
            known: The blocks behind which the dry run saw the module, -1 for before the first.
        """
        return 0 if -1 in known and self.at not in known else self.at

    def here(self, index: int) -> bool:
        """Whether this stage runs the block and the modules behind it."""
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
        """The module's return value in this stage."""
        raise NotImplementedError

    def remove(self) -> None:
        """Give the module its own forward back."""
        del self.module.__dict__["forward"]
        if self._hidden is not None:
            self.module.__dict__["forward"] = self._hidden


class Between(Part):
    """A module between blocks. It runs in the stage of the block behind which it is called.

    It may be called behind several blocks. Behind the head it runs on every rank, on zeros where the head does not run.

    Args:
        module: The module.
        name: Its name.
        place: The position of the pass.
        behind: The blocks behind which the module is called, -1 for before the first.
        streams: Random numbers of the blocks.

    Raises:
        ValueError: The module is called both before the first block and behind the last.
    """

    def __init__(
        self, module: nn.Module, name: str, place: Place, behind: Collection[int], streams: Sequence[BlockStream]
    ) -> None:
        if -1 in behind and len(place.stages) - 1 in behind:
            raise ValueError(
                f"{name!r} is called before the first block and behind the head, which are in two stages. Use one module for "
                "each call."
            )
        super().__init__(module, name, place)
        self.behind, self.streams, self.stand_in = behind, streams, StandIn(self.own, name)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        index = self.place.behind(self.behind)
        if not (
            self.place.here(index) or self.place.is_last(index)
        ):  # behind the head it runs everywhere, because the loss must depend on the head's placeholder
            return self.stand_in(args, kwargs, False)
        with self.streams[index]():
            return self.own(*args, **kwargs)


class Here(Part):
    """A block that this stage runs, with random numbers of its own.

    Args:
        module: The block.
        name: Its name.
        place: The position of the pass.
        index: Its number.
        stream: Its random numbers.
        channel: Brings the input of a stage's first block; ``None`` for other blocks.
        key: The key of that input.
        errors: Sends the error at the output to all stages, for the head under a direct rule; else ``None``.
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
            self.place.strays.check((args, kwargs))
            args, kwargs = exchange(args, kwargs, self.key, self.channel.receive)
        with self.stream():
            out = self.own(*args, **kwargs)
        return out if self.errors is None or not torch.is_grad_enabled() else self.errors.through(out)


class BlockElsewhere(Part):
    """A block that another stage runs. Its call is reported to the rule, which trains the block below at that point.

    Args:
        module: The block.
        name: Its name.
        place: The position of the pass.
        index: Its number.
        wiring: The rule in the network; ``None`` where nothing is trained.
        key: The key of the input that comes from the block below.
        channel: Sends that input to the next stage, if the block below is the last of this stage; else ``None``.
        errors: Receives the error at the output, for the head under a direct rule; else ``None``.
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
        h = argument(args, kwargs, self.key)
        if self.index == 0 or not self.place.here(self.index - 1):
            self.place.strays.check((args, kwargs))
        if self.channel is not None:
            self.channel.send(h)  # before the block below learns, so that the next stage need not wait for that
        out = self.stand_in(args, kwargs, last)
        if self.wiring is None or not torch.is_grad_enabled():
            return out
        self.wiring.enter(self.index, (h,), {})
        if not last:
            return self.wiring.passed(self.index, out)
        out = self.wiring.leave(out)
        return out if self.errors is None else self.errors.through(out)
