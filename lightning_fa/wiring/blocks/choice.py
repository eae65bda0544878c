"""Which modules are the blocks of a network: found automatically in the usual architectures, else named by patterns."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lightning_fa.surgery import FEEDBACK
from lightning_fa.wrappers import named_modules, named_parameters, unwrapped

Blocks: TypeAlias = "str | Sequence[str | nn.Module] | None"
"""``None`` for the automatic choice, or name patterns (``"layer*.*"``) and modules."""


EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
"""Layers whose input is an index. No error is sent below them. They learn with the block that consumes their output."""


class Block(NamedTuple):
    """A part of the network. Inside it autograd works as usual. The last block is the head, whose output the loss scores."""

    name: str
    module: nn.Module
    often: bool = False
    """Whether one forward pass calls it several times."""
    exit: nn.Module | None = None
    """The module at whose output the block ends. ``None``: the block ends where the next block begins."""
    open: bool = False
    """Whether a block that ends at its own output hands the output on with its graph, so that a further loss reaches it."""


def has_matrix(module: nn.Module) -> bool:
    """Whether any parameter in the module has two or more dimensions. Biases and normalisation are no blocks of their own."""
    return any(p.ndim >= 2 for p in module.parameters())


def weights_of(module: nn.Module) -> list[str]:
    """Names of the weight matrices that the module itself holds (not its children). Learned feedback is none of them."""
    return [n for n, p in module._parameters.items() if p is not None and p.ndim >= 2 and not n.startswith(FEEDBACK)]


def choose_blocks(root: nn.Module, blocks: Blocks, ungoverned: Sequence[str] = ()) -> list[Block]:
    """The blocks, in the order of ``blocks``. Blocks found by one pattern or automatically are in the order of registration.

    The automatic choice descends into ``nn.Sequential``, ``nn.ModuleList``, ``nn.ModuleDict``, an only child and a stack of
    units of one class (a transformer's encoder). Every other module that holds a weight matrix is one block: a ``Linear``, a
    convolution, a residual unit, a recurrent layer. An embedding belongs to the block that its output enters, unless no other
    block would be below the head. Parameters of modules around the blocks (position embeddings, a class token) belong to the
    block that they reach. The first forward pass checks that the blocks fit what ``forward`` does.

    Raises:
        ValueError: a module is lazy or of TorchScript, a pattern matches nothing, blocks lie inside one another, there is no
            block, or a weight matrix lies in no block and is not named in ``ungoverned``.
    """
    lazy = [
        name
        for name, module in named_modules(root)
        if any(is_lazy(p) for p in module._parameters.values() if p is not None)
    ]
    if lazy:
        raise ValueError(
            f"The lazy modules {', '.join(lazy)} have no weights yet. Run one forward pass under `torch.no_grad()`, then attach."
        )
    scripted = [name for name, module in named_modules(root) if is_scripted(module) and has_matrix(module)]
    closed = [name for name in scripted if not matches(name, [*ungoverned, *(f"{outer}.*" for outer in scripted)])]
    if closed:
        raise ValueError(
            f"A rule cannot enter the TorchScript modules {', '.join(closed)}. Attach the rule to the Python modules, and script "
            "them after training. Or name them in `ungoverned`."
        )
    found = _automatic(root) if blocks is None else _named(root, blocks)
    found = [block for block in found if has_matrix(block.module) and not matches(block.name, ungoverned)]
    if not found:
        quantised = any(".quantized" in type(module).__module__ for module in root.modules())
        raise ValueError(
            f"{type(root).__name__} has no weight matrix to govern. Expected at least one Linear, Conv, ..."
            + (" Its quantised layers hold no parameters, and do not train." if quantised else "")
        )
    around: dict[nn.Module, list[Block]] = {}
    for outer in found:
        for module in outer.module.modules():
            around.setdefault(module, []).append(outer)
    for inner in found:
        for outer in around[inner.module]:
            if inner is not outer:
                raise ValueError(
                    f"Block {inner.name!r} lies inside block {outer.name!r}. Name one of the two in `blocks`."
                )
    _check_covered(root, around, ungoverned)
    for pattern in ungoverned:
        if not any(matches(name, [pattern]) for name, _ in (*named_modules(root), *named_parameters(root))):
            raise ValueError(f"The pattern {pattern!r} in `ungoverned` matches no module and no parameter.")
    _check_left_out(root, around, ungoverned)
    return found


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches ``name``, or the name of a module that contains it."""
    parts = name.split(".")
    return any(_is_meant(".".join(parts[: i + 1]), p) for p in patterns for i in range(len(parts)))


def _is_meant(name: str, pattern: str) -> bool:
    # As in a file system, a star stays within its level: "layer*.*" are the units of a resnet, not the layers in them.
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _automatic(root: nn.Module) -> list[Block]:
    units = [Block("", root)]
    while len(units) == 1:
        inside = list(units_in(units[0]))
        if not inside or (len(inside) == 1 and weights_of(units[0].module)):
            break
        units = inside
    units = under_first_names(root, units)
    deep = [unit for unit in units if not is_embedding(unit.module)]
    return deep if len(deep) > 1 else [unit for i, unit in enumerate(units) if i == 0 or not is_embedding(unit.module)]


def is_scripted(module: nn.Module) -> bool:
    """Whether TorchScript has compiled the module. It accepts no hook and no other class."""
    return isinstance(module, torch.jit.ScriptModule)


def is_embedding(module: nn.Module) -> bool:
    """Whether all weight matrices in the module are tables that an index looks up."""
    return all(isinstance(m, EMBEDDINGS) for m in module.modules() if weights_of(m))


def units_in(parent: Block) -> Iterator[Block]:
    """The parts of a module that hold a weight matrix, in the order of registration. A list or stack yields its own parts.

    Where one child holds all layers of another (an encoder, and the chain that contains it), only the larger child counts.
    """
    names = {unwrapped(child): name for name, child in parent.module.named_children() if has_matrix(child)}
    layers = {child: {m for m in child.modules() if weights_of(m)} for child in names}
    holders: dict[nn.Module, list[nn.Module]] = {}
    for child in names:
        for layer in layers[child]:
            holders.setdefault(layer, []).append(child)
    larger = {
        child: max((h for h in holders[next(iter(own))] if own <= layers[h]), key=lambda h: len(layers[h]))
        for child, own in layers.items()
    }
    for child in dict.fromkeys(larger.values()):
        block = Block(f"{parent.name}.{names[child]}".lstrip("."), child)
        if _is_list(child) or _is_stack(child):
            yield from units_in(block)
        else:
            yield block


def under_first_names(root: nn.Module, blocks: Iterable[Block]) -> list[Block]:
    """Every block once, under the name that ``root.named_modules()`` gives its module. Feedback is drawn from this name."""
    names = {module: name for name, module in named_modules(root)}
    return [Block(names[module], module) for module in dict.fromkeys(block.module for block in blocks)]


def _is_list(module: nn.Module) -> bool:
    if is_scripted(module):  # its class has no ``forward`` that could be compared
        return False
    if isinstance(module, nn.ModuleDict):  # torchvision's DenseNet derives a unit from it
        return type(module).forward is nn.ModuleDict.forward
    return isinstance(module, nn.ModuleList) or type(module).forward is nn.Sequential.forward


def _is_stack(module: nn.Module) -> bool:
    # Composite units of one type in a list are called one after the other. A list of layers may be a residual unit's body.
    lists = [child for child in module.children() if has_matrix(child)]
    units = list(lists[0].children()) if len(lists) == 1 and _is_list(lists[0]) else []
    alike = (
        len({type(unit) for unit in units}) == 1 and not _is_list(units[0]) and any(True for _ in units[0].children())
    )
    return alike and (len(units) > 1 or isinstance(module, nn.TransformerEncoder))


def _named(root: nn.Module, blocks: str | Sequence[str | nn.Module]) -> list[Block]:
    wanted = [blocks] if isinstance(blocks, str) else list(blocks)
    names = {module: name for name, module in named_modules(root)}
    chosen: dict[nn.Module, str] = {}
    for item in wanted:
        if isinstance(item, nn.Module):
            item = unwrapped(item)
            if item not in names:
                raise ValueError(f"The block {type(item).__name__} given in `blocks` is not a module of the model.")
            chosen.setdefault(item, names[item])
            continue
        hits = [module for module, name in names.items() if _is_meant(name, item)]
        if not hits:
            raise ValueError(
                f"The pattern {item!r} in `blocks` matches no module. Names are: {', '.join(names.values())}."
            )
        for module in hits:
            if has_matrix(module):
                chosen.setdefault(module, names[module])
    return [Block(name, module) for module, name in chosen.items()]


def _check_left_out(root: nn.Module, inside: Container[nn.Module], ungoverned: Sequence[str]) -> None:
    names = {module: name for name, module in named_modules(root)}
    for outer, name in names.items():
        if matches(name, ungoverned):
            kept = [
                names[m] for m in outer.modules() if m in inside and weights_of(m) and not matches(names[m], ungoverned)
            ]
            if kept:
                raise ValueError(
                    f"{name} is named in `ungoverned`, but the rule governs layers of it under another name: {', '.join(kept)}. "
                    f"To leave these out, name them too. Else name in place of {name} only the layers that shall be left out."
                )


def _check_covered(root: nn.Module, inside: Container[nn.Module], ungoverned: Sequence[str]) -> None:
    missed = [
        f"{name}.{weight}".lstrip(".")
        for name, module in named_modules(root)
        if module not in inside
        and not isinstance(module, EMBEDDINGS)
        and not matches(name, ungoverned)
        and not any(m in inside for m in module.modules())
        for weight in weights_of(module)
    ]
    if missed:
        raise ValueError(
            f"No block contains {', '.join(missed)}: the rule would not govern them. Add their modules to `blocks`, or "
            "name them in `ungoverned` to leave them to backpropagation inside the block that uses them."
        )
