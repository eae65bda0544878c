"""Faults in the passes through the blocks, in the families of rules, and in the surgery on modules."""

from tests.faults.fault import Fault

EQUATIONS = ("tests/equations/test_oracles.py", "tests/contract/test_contract.py")
CONVOLUTION = ("tests/equations/test_convolutions.py",)
FACTOR = ("tests/contract/test_factor.py",)
TRACES = ("tests/contract/test_traces.py",)
ABORTED = ("tests/contract/test_aborted.py",)
ERRORS = ("tests/networks/test_errors.py", "tests/networks/test_blocks.py")
DIRECT = ("tests/equations/test_direct_rules.py",)
CONNECTIONS = ("tests/networks/test_connections.py",)
REPEATED = ("tests/equations/test_repeated_blocks.py",)

FAULTS = [
    Fault(
        "whole weights kept alive beside FSDP2's shards",
        "wiring/passes/isolation.py",
        "[weakref.ref(p) for p in each]",
        "[(lambda p=p: p) for p in each]",
        ("tests/networks/test_replaced_parameters.py",),
    ),
    Fault(
        "sharded weights said to learn by no rule",
        "wiring/cut_table.py",
        "if reached and reached <= {id(p) for _, p in named_parameters(root)}:",
        "if owned:",
        ("tests/networks/test_replaced_parameters.py",),
    ),
    Fault(
        "the cut forgotten, so that the true gradient passes too",
        "wiring/cut.py",
        "crossed = h.detach() if ask is None",
        "crossed = h if ask is None",
        EQUATIONS,
    ),
    Fault(
        "indirect feedback that forgets the block's own derivative",
        "ops/onward.py",
        "return d, None, delta.reshape(h.shape).to(ctx.dtype)",
        "return d, None, d.reshape(h.shape).to(ctx.dtype)",
        EQUATIONS,
    ),
    Fault(
        "the second call of a block left without its error",
        "wiring/cut.py",
        "        self.course.taps.append((name, h))",
        "        self.course.taps += [] if name in dict(self.course.taps) else [(name, h)]",
        REPEATED,
    ),
    Fault(
        "a block that is called several times settled after its first call",
        "wiring/passes/settling.py",
        "if not self.course.chain:  # one call",
        "if False:  # one call",
        REPEATED,
    ),
    Fault(
        "a block that feeds itself taken for a link of a chain",
        "wiring/blocks/survey.py",
        "return not own and not",
        "return not",
        REPEATED,
    ),
    Fault(
        "the memory of a cell left to carry the true gradient to the call before",
        "wiring/cut.py",
        "else t.detach() if t.requires_grad else t, out)",
        "else t, out)",
        REPEATED,
    ),
    Fault(
        "an activation behind a shared layer given to the block above",
        "wiring/blocks/ends.py",
        "        end = around",
        "        end = end",
        REPEATED,
    ),
    Fault(
        "a connection beside the head's output not looked for",
        "wiring/graph.py",
        "        if crossed:",
        "        if False:",
        CONNECTIONS,
    ),
    Fault(
        "two layers beside each other taken for one after the other",
        "wiring/blocks/ends.py",
        "return list(blocks) if chain else",
        "return list(blocks) if True else",
        CONNECTIONS,
    ),
    Fault(
        "a block that learns by another block's error not noticed",
        "wiring/passes/isolation.py",
        "if other is not block:",
        "if False:",
        CONNECTIONS,
    ),
    Fault(
        "a layer under two names taken for two blocks",
        "wiring/blocks/choice.py",
        "for module in dict.fromkeys(block.module for block in blocks)]",
        "for module in [block.module for block in blocks]]",
        ("tests/networks/test_second_names.py",),
    ),
    Fault(
        "feedback drawn from the second name of a layer",
        "wiring/blocks/choice.py",
        "return [Block(names[module], module) for module in dict",
        "return [next(b for b in blocks if b.module is module) for module in dict",
        ("tests/networks/test_second_names.py",),
    ),
    Fault(
        "the order of a chain lost where its layers have names of their own",
        "wiring/blocks/choice.py",
        "for child in dict.fromkeys(larger.values()):",
        "for child in layers:",
        ("tests/networks/test_second_names.py",),
    ),
    Fault(
        "a layer that is left out under one name governed under another",
        "wiring/blocks/choice.py",
        "    _check_left_out(root, found, ungoverned)",
        "    pass",
        ("tests/networks/test_second_names.py",),
    ),
    Fault(
        "a predictor frozen with its block, on which blocks below depend",
        "wiring/stores/block_feedback.py",
        "if self.places[name].reaches_below:",
        "if False:",
        ("tests/contract/test_contract.py",),
    ),
    Fault(
        "a predictor frozen at zero not noticed",
        "wiring/deliveries/synthetic.py",
        "            self._check_learns(name, theta)",
        "            pass",
        ("tests/contract/test_contract.py",),
    ),
    Fault(
        "tables in front taken for a block",
        "wiring/blocks/choice.py",
        "return deep if len(deep) > 1 else [",
        "return [",
        ("tests/networks/test_blocks.py",),
    ),
    Fault(
        "a network of tables and a head left without a rule",
        "wiring/blocks/choice.py",
        "return deep if len(deep) > 1 else [",
        "return deep if deep else [",
        ("tests/networks/test_blocks.py",),
    ),
    Fault(
        "the targets of the last batch used again",
        "wiring/passes/step.py",
        "terms, self.terms, self.targets = self.terms, [], None",
        "terms, self.terms = self.terms, []",
        ("tests/contract/test_used_targets.py",),
    ),
    Fault(
        "the targets of a manual step used up by its first loss",
        "training_step.py",
        "        self.attached.targets = targets\n        return self.own(joined",
        "        return self.own(joined",
        ("tests/contract/test_used_targets.py",),
    ),
    Fault(
        "the terms of an aborted forward pass kept for the next loss",
        "wiring/passes/step.py",
        "self.terms = self.terms[: self._before]",
        "pass",
        ABORTED,
    ),
    Fault(
        "callbacks told apart by their schedule only",
        "callbacks/monitor.py",
        '{"steps": self.steps, **settings}',
        '{"steps": self.steps}',
        ("tests/callbacks/test_identity.py",),
    ),
    Fault(
        "a leak between blocks accepted",
        "wiring/graph.py",
        'if other != name and "CompiledFunction" not in node.name():',
        "if False:",
        ERRORS,
    ),
    Fault(
        "the factor divided out and not multiplied back",
        "wiring/deliveries/direct.py",
        "self.rule.deliver(rows / factor, feedback) * factor",
        "self.rule.deliver(rows / factor, feedback)",
        (*DIRECT, *FACTOR),
    ),
    Fault(
        "the factor left in the error of a rule that is not linear",
        "wiring/deliveries/direct.py",
        "self.rule.deliver(rows / factor, feedback) * factor",
        "self.rule.deliver(rows, feedback) * factor",
        (*DIRECT, *FACTOR),
    ),
    Fault(
        "local losses computed in half precision",
        "wiring/deliveries/local.py",
        "h = tap.to(next(iter(theta.values())).dtype)",
        "h = tap",
        FACTOR,
    ),
    Fault(
        "classes left on the model after detach",
        "wiring/base.py",
        "    for module in adopted:\n        release(module)",
        "    for module in adopted[1:]:\n        release(module)",
        TRACES,
    ),
    Fault(
        "feedback left on the model after detach",
        "wiring/stores/store.py",
        "module._buffers.pop(key, None)",
        "module._buffers.get(key, None)",
        TRACES,
    ),
    Fault(
        "the layout of the last batch kept for a batch of another shape",
        "wiring/stores/block_feedback.py",
        "known.layout is not None and known.shapes == shapes:",
        "known.layout is not None:",
        DIRECT,
    ),
    Fault(
        "saved feedback not restored",
        "wiring/stores/store.py",
        "            write(held, saved)",
        "            write(held, held)",
        TRACES,
    ),
    Fault(
        "a pattern that matches nothing accepted",
        "wiring/blocks/choice.py",
        "        if not hits:",
        "        if False:",
        ERRORS,
    ),
    Fault(
        "the mode of padding ignored",
        "wiring/transport/layers/dense.py",
        'if self.padding_mode != "zeros":',
        "if False:",
        CONVOLUTION,
    ),
]
