"""Two networks that are trained together, where no module of the user's holds both."""

from __future__ import annotations

from typing import Any

from torch import nn

from lightning_fa.attach import Attached, attach
from lightning_fa.rules import BidirectionalFeedbackAlignment


def attach_pair(forward_net: nn.Module, reverse_net: nn.Module, **settings: Any) -> Attached:
    """Let two networks be each other's feedback; one ``Attached`` stands for both, and takes both out again.

    Args:
        forward_net: Trained on one task.
        reverse_net: Trained on the other.
        **settings: Of :class:`~lightning_fa.BidirectionalFeedbackAlignment`: ``coupled``, ``pairing``, ``seed``, ...
    """
    pair = nn.ModuleDict({"forward_net": forward_net, "reverse_net": reverse_net})
    return attach(pair, BidirectionalFeedbackAlignment(**settings))
