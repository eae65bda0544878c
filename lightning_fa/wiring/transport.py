"""Transport rules in a model: every weight layer hands its input's error through the rule's carrier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_fa.ops import join, lesson
from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import FEEDBACK, adopt
from lightning_fa.wiring.base import Row, Wiring, recomputing
from lightning_fa.wiring.blocks import Block, matches, weights_of
from lightning_fa.wiring.layers import INPUT_ONLY, LAYERS, behaviour_of, is_stock, matrices_of
from lightning_fa.wrappers import named_modules


@dataclass
class Port:
    """What a governed layer asks in its forward: a weight as it counts, and the matrix that carries its error."""

    wiring: TransportWiring
    partner: nn.Module | None = None
    """The layer of another network whose weight is the feedback here."""
    transposed: bool = False

    def __call__(self, layer: nn.Module, name: str = "weight", x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rule = self.wiring.rule
        weight: Tensor = getattr(layer, name)
        feedback: Tensor | None = getattr(layer, _slot(name), None)
        state = self._next(layer, name)
        mask: Tensor | None = getattr(layer, _slot(name, "mask"), None)
        if mask is not None:
            weight = weight * mask
        if x is not None and not x.requires_grad and not rule.learned:
            return weight, weight.detach()  # nothing travels below this layer
        if self.partner is not None:
            feedback = self.partner.weight.detach()  # type: ignore[operator]
            feedback = feedback.t() if self.transposed else feedback
        elif state is not None and rule.taught:
            assert feedback is not None
            feedback, unit = lesson(feedback, weight.detach(), state, rule.lesson)
            if not (recomputing() or self.wiring.rehearsing):
                self.wiring.terms.append(unit)
        elif state is not None:
            feedback = rule.redraw(weight.detach(), state)
        if not rule.matrixwise:
            return weight, rule.carrier(weight, feedback)
        groups = getattr(layer, "groups", 1)
        matrix = weight.reshape(groups, weight.shape[0] // groups, -1) if groups > 1 else weight.flatten(1)
        return weight, rule.carrier(matrix, feedback).reshape(weight.shape)

    def _next(self, layer: nn.Module, name: str) -> Tensor | None:
        state: Tensor | None = getattr(layer, _slot(name, "stream"), None)
        if state is None:
            return None
        if recomputing():
            return state - _STEP.to(state.device)  # the step that is being recomputed has advanced the stream already
        if not self.wiring.rehearsing:
            # A new tensor, since compiled code may compute what only backward needs in backward, from the inputs of
            # forward: in place the backward pass would read the next step.
            setattr(layer, _slot(name, "stream"), state + _STEP.to(state.device))
        return state


class TransportWiring(Wiring):
    """Gives every weight matrix inside ``blocks`` its own B. Blocks have no other meaning for these rules."""

    def __init__(self, rule: TransportRule, blocks: Sequence[Block], ungoverned: Sequence[str]) -> None:
        super().__init__()
        self.rule = rule
        self.terms: list[Tensor] = []
        self._rows: list[Row] = []
        modules = {
            f"{block.name}.{name}".strip("."): module
            for block in blocks
            for name, module in named_modules(block.module)
        }
        modules = {name: module for name, module in modules.items() if not matches(name, ungoverned)}
        layers = {name: module for name, module in modules.items() if matrices_of(module)}
        if rule.control:
            layers = {name: layer for name, layer in layers.items() if is_stock(layer) and not _odd(layer)}
        self._check_known(layers)
        with self.undone_on_error():
            self._tied: dict[nn.Parameter, str] = {}
            shapes = {name: layer.weight.shape for name, layer in layers.items() if "weight" in layer._parameters}
            partners = rule.couple(shapes)  # type: ignore[arg-type]
            self.partners = {name: other for name, (other, _) in partners.items()}
            for name, layer in layers.items():
                for weight in matrices_of(layer):
                    self._provide(name, layer, weight)
            common = Port(self)
            ports = {name: Port(self, layers[other], transposed) for name, (other, transposed) in partners.items()}
            for name, layer in layers.items():
                behaviour = behaviour_of(layer)
                assert behaviour is not None
                adopt(layer, behaviour, ports.get(name, common))
                self.adopted.append(layer)
        self.described = list(modules.values())
        self._rows = self._describe(modules)

    def join(self, loss: Tensor) -> Tensor:
        if not self.terms:
            return loss
        terms, self.terms = self.terms, []
        return join(loss, terms)

    def forget(self) -> None:
        self.terms = []

    def table(self) -> list[Row]:
        return self._rows

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _check_known(self, layers: dict[str, nn.Module]) -> None:
        rule = type(self.rule).__name__
        unknown = [
            f"{name} ({type(layer).__name__}: {', '.join(matrices_of(layer))})".lstrip()
            for name, layer in layers.items()
            if behaviour_of(layer) is None
        ]
        if unknown:
            known = ", ".join(cls.__name__ for cls in LAYERS)
            raise ValueError(
                f"{rule} governs {known}, and cannot govern {', '.join(unknown)}. Replace these layers, or name them in "
                "`ungoverned` to leave them to backpropagation. (A ParametrizationList, weight_g and weight_v are "
                "parametrised weights: remove the parametrisation first.)"
            )
        odd = [f"{name}.{w}".lstrip(".") for name, layer in layers.items() for w in _odd(layer)]
        if odd:
            raise ValueError(
                f"{rule} cannot govern {', '.join(odd)}: parametrised or additional weights of a known layer. Remove the "
                "parametrisation, or name the layers in `ungoverned` to leave them to backpropagation."
            )
        own = [
            f"{name} ({type(layer).__module__}.{type(layer).__name__})"
            for name, layer in layers.items()
            if not is_stock(layer)
        ]
        if own:
            raise ValueError(
                f"{rule} cannot govern {', '.join(own).lstrip()}: they are subclasses with a forward of their own, or their "
                "`forward` was replaced, and the rule would put PyTorch's in its place. Move what they do beside the product "
                "with the weight into a module of its own, or name the layers in `ungoverned` to leave them to backpropagation."
            )

    def _provide(self, layer_name: str, layer: nn.Module, weight_name: str) -> None:
        """Hold what the rule needs for one weight: B, the state of a stream, a mask."""
        rule, weight = self.rule, layer._parameters[weight_name]
        assert weight is not None
        name = layer_name if weight_name == "weight" else f"{layer_name}.{weight_name}".lstrip(".")
        first = self._tied.setdefault(weight, name)  # a weight that is in two layers has one B
        self.holders[name], self.slots[name] = layer, _slot(weight_name)
        if first != name and rule.learned and self.held(first) is not None:
            layer.register_parameter(_slot(weight_name), self.held(first))  # type: ignore[arg-type]
        else:
            feedback = None if name in self.partners else rule.initial(first, weight)
            if feedback is not None:
                self.hold(name, feedback.to(weight), rule.learned)
        for kind, tensor in (("stream", rule.stream(first)), ("mask", rule.mask(first, weight))):
            if tensor is not None:
                self.holders[f"{name}.{kind}"], self.slots[f"{name}.{kind}"] = layer, _slot(weight_name, kind)
                self.hold(f"{name}.{kind}", tensor.to(weight.device))
                if kind == "mask":
                    with torch.no_grad():
                        weight.mul_(tensor.to(weight))

    def _describe(self, modules: dict[str, nn.Module]) -> list[Row]:
        rows = []
        for name, module in modules.items():
            governed = matrices_of(module)
            for weight in weights_of(module):
                if weight.startswith(FEEDBACK):
                    continue
                full = name if weight == "weight" else f"{name}.{weight}".lstrip(".")
                held = self.held(full) if full in self.holders else None
                if weight in governed:
                    partner = self.partners.get(name)
                    error = f"{partner or self.rule.symbol}^T delta, layer by layer"
                elif isinstance(module, INPUT_ONLY):
                    error = "none: its input is an index"
                else:
                    error = "none: added or element-wise"
                shape = "-" if held is None else str(list(held.shape))
                parameter = module._parameters[weight]
                assert parameter is not None
                rows.append(Row(full, type(module).__name__, f"{weight}{list(parameter.shape)}", error, shape))
        return rows


KNOWN = ("weight", "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

PARAMETRISED = ("weight_g", "weight_v", "_orig")
"""How the parameters end from which weight normalisation, pruning and spectral normalisation compute a weight."""

_STEP = torch.tensor([0, 0, 1])


def _odd(layer: nn.Module) -> list[str]:
    return [w for w in matrices_of(layer) if not w.startswith(KNOWN) or w.endswith(PARAMETRISED)]


def _slot(weight: str, kind: str = "") -> str:
    return FEEDBACK + (f"_{weight}" if weight != "weight" else "") + (f"_{kind}" if kind else "")
