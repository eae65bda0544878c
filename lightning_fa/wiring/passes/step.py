"""The state of one training step: its targets, and the terms that its forward passes leave for the loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from lightning_fa.ops import join
from lightning_fa.wiring.passes.held import Held


class Step:
    """The targets, and the terms to be joined to the loss."""

    def __init__(self) -> None:
        self.targets: Tensor | None = None
        self.terms: list[Tensor] = []
        """Scalars that are joined to the graph of the loss, not to its value. Through them backward reaches the local losses."""
        self.rehearsing = False
        """Whether a forward pass only serves to find shapes and to check the cut (a dry run)."""
        self.settles: Literal["where it saves", "always", "never"] = "where it saves"
        """When gradients that need nothing from above are computed in the forward pass. This can save memory."""
        self.held = Held()
        self._before: int | None = None
        self._look = True
        self.seen = False
        """Whether a forward pass has reached its end that was no dry run and was not compiled."""

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Inside the context, forward passes are dry runs."""
        before, self.rehearsing = self.rehearsing, True
        try:
            with self.held.dry_run():
                yield
        finally:
            self.rehearsing = before

    def begin(self) -> None:
        """Begin a forward pass. Terms of a pass that an error ended are dropped; terms of earlier passes wait for their loss."""
        if self._before is not None:
            self.terms = self.terms[: self._before]
        self._before = len(self.terms)
        self._look = True

    def finish(self) -> None:
        """End the forward pass."""
        self._before = None
        if not (self.rehearsing or torch.compiler.is_compiling()):
            self.seen = True

    def join(self, loss: Tensor) -> Tensor:
        """The loss, joined to the terms of the forward passes since the last loss. Its value is unchanged. Drops the targets."""
        if not self.terms:
            return loss
        terms, self.terms, self.targets = self.terms, [], None
        return join(loss, terms)

    def forget(self) -> None:
        """Drop the terms that wait for a loss."""
        self.terms, self._before = [], None

    def looks(self) -> bool:
        """Whether to check the values of the targets: on the CPU once per pass, elsewhere in the first pass only.

        Reading a value waits for the device.
        """
        if torch.compiler.is_compiling() or self.targets is None:
            return False
        look = self._look and (self.targets.device.type == "cpu" or not self.seen)
        self._look = False
        return look
