"""What one training step is given, and what its forward passes leave for its loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from lightning_fa.ops import join
from lightning_fa.wiring.held import Held


class Step:
    """The targets, and the terms that wait for the loss."""

    def __init__(self) -> None:
        self.targets: Tensor | None = None
        self.terms: list[Tensor] = []
        """Scalars whose value is zero or is not shown: backward reaches what has a loss of its own through them."""
        self.rehearsing = False
        """Whether a forward pass only serves to find shapes and to check the cut (a dry run)."""
        self.settles: Literal["where it saves", "always", "never"] = "where it saves"
        """Whether gradients that need nothing from above are computed in the forward pass; memory is what that can save."""
        self.held = Held()
        self._before: int | None = None
        self._look = True
        self._seen = False

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Inside, forward passes are dry runs."""
        before, self.rehearsing = self.rehearsing, True
        try:
            with self.held.dry_run():
                yield
        finally:
            self.rehearsing = before

    def begin(self) -> None:
        """A forward pass begins. The terms of a pass that an error has ended go; earlier ones may still belong to a loss."""
        if self._before is not None:
            self.terms = self.terms[: self._before]
        self._before = len(self.terms)
        self._look = True
        self.held.begin()

    def finish(self) -> None:
        """The forward pass is over."""
        self._before = None
        if not (self.rehearsing or torch.compiler.is_compiling()):
            self._seen = True

    def join(self, loss: Tensor) -> Tensor:
        """The loss with the terms of the forward passes since the last one. Its value is unchanged; targets are used up."""
        if not self.terms:
            return loss
        terms, self.terms, self.targets = self.terms, [], None
        return join(loss, terms)

    def forget(self) -> None:
        """Drop the terms that wait for a loss."""
        self.terms, self._before = [], None

    def looks(self) -> bool:
        """Whether to check what the targets hold: once a pass on the CPU, elsewhere in the first pass, since a look waits."""
        if torch.compiler.is_compiling() or self.targets is None:
            return False
        look = self._look and (self.targets.device.type == "cpu" or not self._seen)
        self._look = False
        return look
