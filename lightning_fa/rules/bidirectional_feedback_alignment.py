"""Bidirectional feedback alignment: two networks that are each other's feedback, trained together on two tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class BidirectionalFeedbackAlignment(TransportRule):
    r"""Feedback alignment with the weights of a second network as B. The second network learns a task of its own.

    .. math:: \delta^l = (B^{l+1})^T \delta^{l+1} \odot f'(a^l), \qquad z_r^l = B^l h_r^{l-1} + b_r^l, \qquad
              \delta_r^l = (F^{l+1})^T \delta_r^{l+1} \odot f'(z_r^l)

    W are the weights of the forward network, B those of the reverse network, and F is a fixed random C or W itself.
    Square hidden matrices are coupled, because only they fit. All other matrices have fixed random feedback.

    The model given to :func:`lightning_fa.attach` holds both networks, as a LightningModule with two networks does. For two
    separate modules use :func:`lightning_fa.attach_pair`. Feedback is the other network's weight at the time of the forward
    pass, not a copy: run both forward passes and both backward passes of a step before any optimizer steps.

    Args:
        coupled: ``"none"``: both networks have fixed random feedback. ``"backward"``: the forward network uses B, the
            reverse network a fixed C (eq. 7). ``"both"``: the reverse network uses W (eq. 8).
        pairing: ``"same"``: layer l with layer l, as the equations have it. ``"reversed"``: layer l with layer L + 1 - l,
            transposed, as in one network that is used in both directions: the reverse network computes with
            :math:`(B^l)^T`.
        forward_net: Name of the forward network in the model.
        reverse_net: Name of the reverse network in the model.
        seed: Fixes every fixed matrix, together with the layer's name and nothing else.
        init: Initialiser of the fixed matrices (see :mod:`lightning_fa.feedback`).
        scale: Factor on the initialiser.

    References: Cheung & Jiang 2019, eqs. 5-8.
    """

    coupled: Literal["none", "backward", "both"] = "both"
    pairing: Literal["same", "reversed"] = "same"
    forward_net: str = "forward_net"
    reverse_net: str = "reverse_net"
    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_init(self.init)
        for name, known in (("coupled", ("none", "backward", "both")), ("pairing", ("same", "reversed"))):
            if getattr(self, name) not in known:
                raise ValueError(f"Expected argument `{name}` to be one of {known}, but got {getattr(self, name)!r}.")

    def initial(self, name: str, weight: Tensor) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, weight.shape, transposed=True)

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        return feedback

    def couple(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[str, bool]]:
        nets = [[n for n in shapes if n.startswith(f"{net}.")] for net in (self.forward_net, self.reverse_net)]
        strange = [n for n in shapes if n not in nets[0] + nets[1]]
        if strange or not all(nets) or len(nets[0]) != len(nets[1]):
            raise ValueError(
                f"Expected two networks of equally many weight layers in {self.forward_net!r} and {self.reverse_net!r}, and "
                f"no other layers, but found {nets[0]}, {nets[1]} and {strange}. Name them with `forward_net` and "
                "`reverse_net`, and leave other layers to backpropagation with `ungoverned`."
            )
        turned = self.pairing == "reversed"
        partners = zip(nets[0], nets[1][::-1] if turned else nets[1])
        hidden = [(w, b) for w, b in partners if _hidden(w, nets[0]) and _hidden(b, nets[1])]
        pairs = [(w, b) for w, b in hidden if _square(shapes[w]) and shapes[w] == shapes[b]]
        if self.coupled == "none":
            return {}
        if not pairs:
            raise ValueError(
                f"No hidden matrix of {self.forward_net!r} is square and fits its partner in {self.reverse_net!r}: "
                f"{ {n: tuple(s) for n, s in shapes.items()} }."
            )
        coupled = {w: (b, turned) for w, b in pairs}
        return coupled if self.coupled == "backward" else coupled | {b: (w, turned) for w, b in pairs}


def _hidden(name: str, layers: Sequence[str]) -> bool:
    return name not in (layers[0], layers[-1])


def _square(shape: Sequence[int]) -> bool:
    return len(shape) == 2 and shape[0] == shape[1]
