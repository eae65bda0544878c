"""Transport rules in a model: every weight layer hands its input's error through the rule's carrier."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import FEEDBACK, adopt
from lightning_fa.wiring.base import Row, Wiring
from lightning_fa.wiring.blocks import Block, matches, weights_of
from lightning_fa.wiring.layers import INPUT_ONLY, LAYERS, behaviour_of


class Port:
    """What a governed layer asks for in its forward: the matrix that carries its error down."""

    def __init__(self, rule: TransportRule) -> None:
        self.rule = rule

    def __call__(self, layer: nn.Module) -> Tensor:
        return self.rule.carrier(layer.weight, layer._parameters.get(FEEDBACK, layer._buffers.get(FEEDBACK)))  # type: ignore[arg-type]


class TransportWiring(Wiring):
    """Gives every weight layer inside ``blocks`` its own matrix. Blocks have no other meaning for these rules."""

    def __init__(self, rule: TransportRule, blocks: Sequence[Block], ungoverned: Sequence[str]) -> None:
        super().__init__()
        layers = {
            f"{block.name}.{name}".strip("."): module
            for block in blocks
            for name, module in block.module.named_modules()
            if weights_of(module) and not isinstance(module, INPUT_ONLY)
        }
        layers = {name: layer for name, layer in layers.items() if not matches(name, ungoverned)}
        unknown = [f"{name} ({type(layer).__name__})" for name, layer in layers.items() if behaviour_of(layer) is None]
        if unknown:
            known = ", ".join(cls.__name__ for cls in LAYERS)
            raise ValueError(
                f"{type(rule).__name__} governs {known}, and cannot govern {', '.join(unknown)}. Replace these layers, "
                "or name them in `ungoverned` to leave them to backpropagation."
            )
        port = Port(rule)
        for name, layer in layers.items():
            self.holders[name] = layer
            feedback = rule.initial(name, layer.weight)  # type: ignore[arg-type]
            if feedback is not None:
                self.hold(name, feedback.to(layer.weight), rule.learned)  # type: ignore[arg-type]
        for layer in layers.values():
            behaviour = behaviour_of(layer)
            assert behaviour is not None
            adopt(layer, behaviour, port)  # type: ignore[arg-type]
            self.adopted.append(layer)

    def table(self) -> list[Row]:
        held = dict(self.feedback())
        return [
            Row(
                name,
                type(layer).__name__,
                ", ".join(f"{w}{list(layer._parameters[w].shape)}" for w in weights_of(layer)),  # type: ignore[union-attr]
                "B^T delta, layer by layer" if name in held else "W^T delta, layer by layer",
                str(list(held[name].shape)) if name in held else "-",
            )
            for name, layer in self.holders.items()
        ]
