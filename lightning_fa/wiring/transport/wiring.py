"""Transport rules in a model: every weight layer sends the error down through the rule's backward weight."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_fa.feedback import single_precision
from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import FEEDBACK, adopt, port_of, set_aside
from lightning_fa.wiring.base import Row, take_out
from lightning_fa.wiring.blocks.choice import Block, matches, weights_of
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.store import Store
from lightning_fa.wiring.transport.layers import INPUT_ONLY, Layer, Plan, Presented, Weight, choose_layers, matrices_of
from lightning_fa.wiring.transport.layers.choice import full_name
from lightning_fa.wiring.transport.port import Port, slot
from lightning_fa.wiring.transport.proof import Proof
from lightning_fa.wrappers import named_modules, named_parameters

ADDED = "none of the rule's: ungoverned, added or element-wise"


class TransportWiring:
    """Gives every weight matrix inside and around ``blocks`` its own B. Blocks have no other meaning under transport rules.

    Raises:
        ValueError: a weight cannot be governed; the message names it.
    """

    def __init__(
        self, rule: TransportRule, blocks: Sequence[Block], ungoverned: Sequence[str], root: nn.Module
    ) -> None:
        self.rule, self.store, self.step = rule, Store(rule.forgetting), Step()
        self.adopted: list[nn.Module] = []
        self.modules = _candidates(root, blocks, ungoverned)
        self.choice = choose_layers(self.modules, rule.control, lambda name: matches(name, ungoverned))
        self.proof = Proof(type(rule).__name__, root, self.adopted)
        self.rows: list[Row] = []

    def lay(self) -> None:
        layers, weights = self.choice
        shapes = {n: w.holder._parameters[w.key].shape for n, w in weights.items() if w.key == "weight"}  # type: ignore[union-attr]
        partners = self.rule.couple(shapes)
        tied: dict[nn.Parameter, str] = {}
        with single_precision():
            for name, weight in weights.items():
                self._provide(name, weight, name in partners, tied)
        common = Port(self.rule, self.step, self.store)
        for name, layer in layers.items():
            other, transposed = partners.get(name, (None, False))
            port = common if other is None else replace(common, partner=layers[other].module, transposed=transposed)
            self._enter(name, layer, port)
        self.rows = list(self._describe({name: other for name, (other, _) in partners.items()}))
        if not self.rule.control:
            self.proof.watch(weights)

    def remove(self) -> None:
        take_out(self.store, self.adopted)
        self.adopted.clear()
        self.proof.end()

    # -- around forward passes --------------------------------------------------------------------------------------------

    def check_ready(self) -> None:
        """A transport rule can always begin."""

    def check_output(self, output: Any, ungoverned: Collection[Tensor]) -> None:
        """The hook of :class:`Proof` has checked the output already."""

    def join(self, loss: Tensor) -> Tensor:
        self.proof.score(loss)
        return self.step.join(loss)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        with set_aside(self.adopted), self.proof.aside():
            yield

    def forget(self) -> None:
        self.step.forget()

    def restore(self, name: str, saved: Tensor) -> None:
        self.store.restore(name, saved)

    def table(self, root: nn.Module) -> list[Row]:
        shown = {id(p) for module in self.modules.values() for p in module._parameters.values()}
        others = [
            f"{name}{list(p.shape)}"
            for name, p in named_parameters(root)
            if p.ndim >= 2 and id(p) not in shown and FEEDBACK not in name
        ]
        unused = self.proof.unused()
        rows = [row._replace(error=ADDED) if row.name in unused else row for row in self.rows]
        return [*rows, *(Row("-", "-", weight, ADDED, "-") for weight in others)]

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        names, unused = {module: name for name, module in named_modules(root)}, self.proof.unused()
        with torch.no_grad(), self.step.rehearsal():  # a dry run does not advance the random streams
            for layer in self.adopted:
                for key in matrices_of(layer):
                    name = full_name(names[layer], key)
                    # a layer may also hold matrices that are ungoverned, or that carry no error
                    if name in unused or not (name in self.choice[1] or self.rule.control):
                        continue
                    weight, carrier = port_of(layer)(layer, key)
                    yield name, carrier.detach(), weight.detach()

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        return None  # no error is predicted

    # -- parts ------------------------------------------------------------------------------------------------------------

    def _provide(self, name: str, weight: Weight, coupled: bool, tied: dict[nn.Parameter, str]) -> None:
        """Store the rule's tensors for one weight: B, the state of a stream, a mask."""
        rule, layer, key = self.rule, weight.holder, weight.key
        parameter = layer._parameters[key]
        assert parameter is not None
        first = tied.setdefault(parameter, name)  # a weight shared by two layers has one B
        self.store.open(name, layer, slot(key))
        if first != name and rule.learned and self.store.get(first) is not None:
            layer.register_parameter(slot(key), self.store.get(first))  # type: ignore[arg-type]
        else:
            feedback = None if coupled else rule.initial(first, parameter)
            if feedback is not None:
                self.store.put(name, feedback.to(parameter), rule.learned)
        for kind, tensor in (("stream", rule.stream(first)), ("mask", rule.mask(first, parameter))):
            if tensor is not None:
                self.store.open(f"{name}.{kind}", layer, slot(key, kind))
                self.store.put(f"{name}.{kind}", tensor.to(parameter.device))
                if kind == "mask":
                    with torch.no_grad():
                        parameter.mul_(tensor.to(parameter))

    def _enter(self, name: str, layer: Layer, port: Port) -> None:
        given: Port | Plan = port
        if layer.behaviour is Presented:
            own = [(layer.module, key, full_name(name, key)) for key in layer.own]
            given = Plan(port, f"{name} ({type(layer.module).__name__})".lstrip(), [*own, *layer.others])
            self.proof.plans.append(given)
        adopt(layer.module, layer.behaviour, given)
        self.adopted.append(layer.module)

    def _describe(self, partners: Mapping[str, str]) -> Iterator[Row]:
        for name, module in self.modules.items():
            for key in weights_of(module):
                full = full_name(name, key)
                parameter = module._parameters[key]
                assert parameter is not None
                held = self.store.get(full) if full in self.store.slots else None
                if full in self.choice[1] or (self.rule.control and key in matrices_of(module)):
                    error = f"{partners.get(name) or self.rule.symbol}^T delta, layer by layer"
                elif isinstance(module, INPUT_ONLY):
                    error = "none: its input is an index"
                    self.proof.lookups[id(parameter)] = full
                else:
                    error = ADDED
                shape = "-" if held is None else str(list(held.shape))
                yield Row(full, type(module).__name__, f"{key}{list(parameter.shape)}", error, shape)


def _candidates(root: nn.Module, blocks: Sequence[Block], ungoverned: Sequence[str]) -> dict[str, nn.Module]:
    """All modules in the blocks, then the modules around the blocks."""
    inside = {f"{b.name}.{n}".strip("."): m for b in blocks for n, m in named_modules(b.module)}
    held = set(inside.values())
    around = {n: m for n, m in named_modules(root) if m not in held and any(c in held for c in m.modules())}
    lists = {
        n: m
        for n, m in named_modules(root)
        if n.rpartition(".")[0] in around and isinstance(m, (nn.ParameterList, nn.ParameterDict))
    }
    return {n: m for n, m in (inside | around | lists).items() if not matches(n, ungoverned)}
