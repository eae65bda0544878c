"""Last layer only: the baseline of random features, that every other rule has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from lightning_fa.rules.base import FrozenRule


@final
@dataclass(frozen=True, kw_only=True)
class LastLayerOnly(FrozenRule):
    r"""Only the head learns; hidden blocks keep the weights that they have.

    .. math:: \delta^l = 0 \quad (l < k), \qquad \delta^k = e

    All parameters but the head's have ``requires_grad=False`` while the rule is attached, and their own setting again after
    it: they have no ``.grad``, so that weight decay and momentum leave them bitwise alone, DDP does not wait for them,
    and no activation is stored. Running statistics of normalisation layers follow the data as ever.

    References: "shallow" in Frenkel, Lefebvre & Bol 2021 and its code.
    """

    def instead(self) -> str:
        return "none, frozen"
