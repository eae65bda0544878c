"""The strategy for one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import SingleDeviceStrategy

from lightning_fa.rules import Rule
from lightning_fa.strategies.base import FeedbackStrategyMixin


class FeedbackStrategy(FeedbackStrategyMixin, SingleDeviceStrategy):
    """Trains on one device: ``Trainer(strategy="dfa", accelerator="gpu")``.

    Args:
        rule: A rule or its registry name.
        device: Default: the device that the Trainer's accelerator chooses.
        **kwargs: ``blocks``, ``targets`` and ``ungoverned`` as for :class:`FeedbackStrategyMixin`. Others are passed to
            Lightning's ``SingleDeviceStrategy``.
    """

    def __init__(
        self, rule: str | Rule = "dfa", *, device: torch.device | str | int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(rule, device="cpu" if device is None else device, **kwargs)
        self._parallel_devices = None if device is None else [self._root_device]

    @property
    def parallel_devices(self) -> list[torch.device] | None:
        """The device, in a list. Lightning sets this attribute to the accelerator's choice."""
        return self._parallel_devices

    @parallel_devices.setter
    def parallel_devices(self, devices: Sequence[torch.device]) -> None:
        if len(devices) != 1:
            raise MisconfigurationException(
                f"{type(self).__name__} trains on one device, but {len(devices)} were selected. Use `devices=1`, or a "
                "distributed strategy such as 'dfa_ddp'."
            )
        self._parallel_devices = list(devices)
        self._root_device = self._parallel_devices[0]
