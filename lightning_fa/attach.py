"""Attach a rule to a model, without Lightning. Strategies and the mixin are thin adapters over :func:`attach`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from lightning_fa import late_layers
from lightning_fa.attached import Attached
from lightning_fa.optimizers import watch
from lightning_fa.rehearsal import look_at, rehearse
from lightning_fa.rules import BidirectionalFeedbackAlignment, resolve
from lightning_fa.rules.base import Rule
from lightning_fa.sharding import check_gradients_are_joined, check_undivided
from lightning_fa.table import governed_modules
from lightning_fa.wiring import Block, check_head, choose_blocks, fit_to, laid_apart, wire
from lightning_fa.wiring.blocks.choice import Blocks, matches
from lightning_fa.wrappers import named_parameters, unwrapped


def attach(
    model: nn.Module,
    rule: str | Rule,
    *,
    blocks: Blocks = None,
    ungoverned: str | Sequence[str] = (),
    example: Any = None,
) -> Attached:
    """Let ``rule`` train ``model``, in place of backpropagation, from its next forward pass on.

    Build the optimizer and DDP or FSDP afterwards: learned feedback (of ``kp``, ``wm``, ``dkp``, ``sg``, ``sgprop``) is a
    parameter of the model. The optimizer trains it with its rate, decay and clipping (``ebd``: at the rule's rate).

    Args:
        model: Any module. Its parameters, buffers, ``state_dict`` and outputs stay bitwise unchanged, except under ``fa_sparse``.
        rule: A rule or its registry name.
        blocks: Needed if the automatic choice does not fit: name patterns (``["layer*.*", "fc"]``) or modules, in the order in
            which ``forward`` calls them. The last block is the head. Under rules that cut the graph, weights inside a block may
            learn by backpropagation: :meth:`Attached.summary` counts them.
        ungoverned: Name patterns of modules or parameters to exclude, which learn by backpropagation.
        example: An input of the model (a tensor, a tuple of arguments or a mapping of keywords) for a dry run. The dry run
            draws all feedback and checks the blocks now instead of in the first forward pass. It also shows the order of the
            calls. A block that was found automatically and is a chain is split into its parts. A block that is called
            several times, or whose output also goes past the next block, is cut at its own output.

    Raises:
        TypeError: ``model`` is no module, or ``rule`` no rule.
        ValueError: a pattern matches nothing, a weight matrix is not governed or acts on the last block's output, a layer has no
            weights, or DDP or FSDP came first.
        RuntimeError: a rule is attached already. In the first forward pass, also of training mode: blocks are called twice or
            out of order, a true gradient would cross from one block to another, or, under a transport rule, a true weight
            carries an error (also in the first loss) or meets an operator that is not known to be linear in its input. In
            any forward pass: a layer came into the model after the rule. In an optimizer's first step: no optimizer holds
            the learned feedback of a layer that it trains.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"Expected `model` to be a torch.nn.Module, but got {type(model).__name__}.")
    rule = resolve(rule)
    check_undivided(model)
    check_gradients_are_joined(model, rule.learned)
    model = unwrapped(model)
    present = governed_modules(model)
    if present:
        raise RuntimeError(f"A rule is attached to {', '.join(present)} already. Call `attached.detach()` first.")
    patterns = [ungoverned] if isinstance(ungoverned, str) else list(ungoverned)
    chosen = choose_blocks(model, blocks, patterns)
    if example is None and blocks is None and rule.cuts:
        check_head(model, chosen)
    if example is None or not rule.cuts:
        attached = _laid(model, rule, chosen, patterns, example)
    else:
        seen = look_at(model, example)
        chosen = fit_to(model, seen, chosen, blocks, patterns)
        attached = laid_apart(model, seen, chosen, lambda each: _laid(model, rule, each, patterns, example))
    if rule.learned:
        watch(attached._wiring.store, model)
    if not rule.control:
        late_layers.watch(model, type(rule).__name__, patterns, attached._wiring.adopted)
    return attached


def _laid(model: nn.Module, rule: Rule, blocks: list[Block], ungoverned: list[str], example: Any) -> Attached:
    wiring = wire(model, rule, blocks, ungoverned)
    attached = Attached(model, rule, wiring, blocks)
    try:
        if example is not None:
            rehearse(model, wiring, example, [p for n, p in named_parameters(model) if matches(n, ungoverned)])
        wiring.check_ready()
    except Exception:
        attached.detach()
        raise
    return attached


def attach_pair(forward_net: nn.Module, reverse_net: nn.Module, **settings: Any) -> Attached:
    """Let each of two networks serve as the feedback of the other. The one ``Attached`` returned governs both.

    Args:
        forward_net: Trained on one task.
        reverse_net: Trained on the other.
        **settings: Of :class:`~lightning_fa.BidirectionalFeedbackAlignment`: ``coupled``, ``pairing``, ``seed``, ...
    """
    pair = nn.ModuleDict({"forward_net": forward_net, "reverse_net": reverse_net})
    return attach(pair, BidirectionalFeedbackAlignment(**settings))
