"""Transport rules in a model: every weight layer hands its input's error through the rule's carrier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_fa.ops import join
from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import FEEDBACK, adopt, port_of
from lightning_fa.wiring.base import Row, Wiring, recomputing
from lightning_fa.wiring.blocks import Block, matches, weights_of
from lightning_fa.wiring.layers import INPUT_ONLY, Plan, Presented, Weight, choose_layers, matrices_of
from lightning_fa.wiring.layers.choice import full_name
from lightning_fa.wiring.port import Port, slot
from lightning_fa.wiring.proof import carriers
from lightning_fa.wiring.tensors import tensors_in
from lightning_fa.wrappers import named_modules, named_parameters


class TransportWiring(Wiring):
    """Gives every weight matrix its own B: inside ``blocks``, which have no other meaning here, and around them."""

    def __init__(
        self, rule: TransportRule, blocks: Sequence[Block], ungoverned: Sequence[str], root: nn.Module
    ) -> None:
        super().__init__()
        self.rule = rule
        self.terms: list[Tensor] = []
        self._rows: list[Row] = []
        self._plans: list[Plan] = []
        self._watch: Any = None
        modules = _candidates(root, blocks, ungoverned)
        layers, weights = choose_layers(modules, rule.control, lambda name: matches(name, ungoverned))
        with self.undone_on_error():
            self._tied: dict[nn.Parameter, str] = {}
            shapes = {n: w.holder._parameters[w.key].shape for n, w in weights.items() if w.key == "weight"}  # type: ignore[union-attr]
            partners = rule.couple(shapes)
            self.partners = {name: other for name, (other, _) in partners.items()}
            for name, weight in weights.items():
                self._provide(name, weight)
            common = Port(self)
            for name, layer in layers.items():
                other, transposed = partners.get(name, (None, False))
                port: Any = common if other is None else Port(self, layers[other].module, transposed)
                if layer.behaviour is Presented:
                    own = [(layer.module, key, full_name(name, key)) for key in layer.own]
                    port = Plan(port, f"{name} ({type(layer.module).__name__})".lstrip(), [*own, *layer.others])
                    self._plans.append(port)
                adopt(layer.module, layer.behaviour, port)
                self.adopted.append(layer.module)
        self.described = list(modules.values())
        self._rows = self._describe(modules, weights)
        self.observes_loss = not rule.control
        if self.observes_loss:
            self._watch = root.register_forward_hook(Watch(self))

    def prove(self, outputs: Any) -> None:
        """Check, once, that no governed weight carries an error in the graph of ``outputs``.

        Raises:
            RuntimeError: one does; the message names it.
        """
        graphs = [t for t in tensors_in(outputs) if t.grad_fn is not None]
        if self._watch is None or not graphs or torch.compiler.is_compiling() or recomputing():
            return
        found = carriers(graphs, self._judged())
        if found:
            raise RuntimeError(
                f"The true weight of {', '.join(found)} carries an error, not the feedback of {type(self.rule).__name__}: it is "
                "used outside of the forward of the module that holds it. Call that module; or tell with "
                "`lightning_fa.register_layer(cls, weights)` whose forward uses the weight; or name the module in `ungoverned` "
                "to leave it to backpropagation."
            )
        if not all("CompiledFunction" in str(t.grad_fn) for t in graphs):
            self._watch.remove()
            self._watch = None

    def remove(self) -> None:
        super().remove()
        if self._watch is not None:
            self._watch.remove()
            self._watch = None

    def join(self, loss: Tensor) -> Tensor:
        self.prove(loss)
        if not self.terms:
            return loss
        terms, self.terms = self.terms, []
        return join(loss, terms)

    def forget(self) -> None:
        self.terms = []

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        names = {module: name for name, module in named_modules(root)}
        before, self.rehearsing = self.rehearsing, True  # what is drawn anew in every step must not be drawn here
        try:
            with torch.no_grad():
                for layer in self.adopted:
                    for key in [key for key in matrices_of(layer) if not key.startswith(FEEDBACK)]:
                        weight, carrier = port_of(layer)(layer, key)
                        yield full_name(names[layer], key), carrier.detach(), weight.detach()
        finally:
            self.rehearsing = before

    def table(self, root: nn.Module) -> list[Row]:
        shown = {id(p) for module in self.described for p in module._parameters.values()}
        others = [
            f"{name}{list(p.shape)}"
            for name, p in named_parameters(root)
            if p.ndim >= 2 and id(p) not in shown and FEEDBACK not in name
        ]
        plans = self._plans if self.observes_loss and self._watch is None else []
        unused = {full for plan in plans for *_, full in plan.weights} - {
            full for plan in plans for full in plan.carried
        }
        rows = [row._replace(error=ADDED) if row.name in unused else row for row in self._rows]
        return [*rows, *(Row("-", "-", weight, ADDED, "-") for weight in others)]

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _provide(self, name: str, weight: Weight) -> None:
        """Hold what the rule needs for one weight: B, the state of a stream, a mask."""
        rule, layer, key = self.rule, weight.holder, weight.key
        parameter = layer._parameters[key]
        assert parameter is not None
        first = self._tied.setdefault(parameter, name)  # a weight that is in two layers has one B
        self.holders[name], self.slots[name] = layer, slot(key)
        if first != name and rule.learned and self.held(first) is not None:
            layer.register_parameter(slot(key), self.held(first))  # type: ignore[arg-type]
        else:
            feedback = None if name in self.partners else rule.initial(first, parameter)
            if feedback is not None:
                self.hold(name, feedback.to(parameter), rule.learned)
        for kind, tensor in (("stream", rule.stream(first)), ("mask", rule.mask(first, parameter))):
            if tensor is not None:
                self.holders[f"{name}.{kind}"], self.slots[f"{name}.{kind}"] = layer, slot(key, kind)
                self.hold(f"{name}.{kind}", tensor.to(parameter.device))
                if kind == "mask":
                    with torch.no_grad():
                        parameter.mul_(tensor.to(parameter))

    def _judged(self) -> dict[int, str]:
        """The weights that must carry no error, and those of lookups, by the ``id`` of the parameter."""
        judged = {}
        for name, layer in self.holders.items():
            key = self._keys.get(name)
            if key is not None:
                judged[id(getattr(layer, key))] = name
        return judged | self._lookups

    def _describe(self, modules: Mapping[str, nn.Module], weights: Mapping[str, Weight]) -> list[Row]:
        self._keys = {name: weight.key for name, weight in weights.items()}
        self._lookups: dict[int, str] = {}
        rows = []
        for name, module in modules.items():
            for key in weights_of(module):
                if key.startswith(FEEDBACK):
                    continue
                full = full_name(name, key)
                parameter = module._parameters[key]
                assert parameter is not None
                held = self.held(full) if full in self.holders else None
                if full in weights or (self.rule.control and key in matrices_of(module)):
                    partner = self.partners.get(name)
                    error = f"{partner or self.rule.symbol}^T delta, layer by layer"
                elif isinstance(module, INPUT_ONLY):
                    error = "none: its input is an index"
                    self._lookups[id(parameter)] = full
                else:
                    error = ADDED
                shape = "-" if held is None else str(list(held.shape))
                rows.append(Row(full, type(module).__name__, f"{key}{list(parameter.shape)}", error, shape))
        return rows


ADDED = "none of the rule's: ungoverned, added or element-wise"


class Watch:
    """Hook of the model that reads the graph of its first output."""

    def __init__(self, wiring: TransportWiring) -> None:
        self.wiring = wiring

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not torch.compiler.is_compiling() and not self.wiring.suspended:
            self.wiring.prove(output)


def _candidates(root: nn.Module, blocks: Sequence[Block], ungoverned: Sequence[str]) -> dict[str, nn.Module]:
    """All modules in the blocks, then those around them."""
    inside = {f"{b.name}.{n}".strip("."): m for b in blocks for n, m in named_modules(b.module)}
    held = set(inside.values())
    around = {n: m for n, m in named_modules(root) if m not in held and any(c in held for c in m.modules())}
    lists = {
        n: m
        for n, m in named_modules(root)
        if n.rpartition(".")[0] in around and isinstance(m, (nn.ParameterList, nn.ParameterDict))
    }
    return {n: m for n, m in (inside | around | lists).items() if not matches(n, ungoverned)}
