"""Faults in the autograd functions, the wirings, the feedback and the rules."""

from tests.faults.fault import Fault

EQUATIONS = ("tests/test_oracles.py", "tests/test_contract.py")
CONVOLUTION = ("tests/test_convolutions.py",)
FACTOR = ("tests/test_factor.py",)
TRACES = ("tests/test_traces.py",)
FEEDBACK = ("tests/test_feedback.py",)
ABORTED = ("tests/test_aborted.py",)
ERRORS = ("tests/test_errors.py", "tests/test_blocks.py")
TRANSPORT = ("tests/test_transport_rules.py",)
DIRECT = ("tests/test_direct_rules.py",)
SYNTHETIC = ("tests/test_synthetic_gradients.py",)
MEMORY = ("tests/test_memory.py",)

FAULTS = [
    # -- the autograd functions -------------------------------------------------------------------------------------------
    Fault(
        "the sign of a transported error",
        "ops/transport.py",
        "(rows @ feedback).view(x.shape)",
        "-(rows @ feedback).view(x.shape)",
        EQUATIONS,
    ),
    Fault(
        "W used for B in a linear layer",
        "ops/transport.py",
        "x, _, _, feedback = inputs\n        ctx.save_for_backward(x, feedback)",
        "x, feedback, _, _ = inputs\n        ctx.save_for_backward(x, feedback)",
        EQUATIONS,
    ),
    Fault(
        "the mean for the sum in a bias gradient",
        "ops/transport.py",
        "rows.sum(0) if",
        "rows.mean(0) if",
        EQUATIONS,
    ),
    Fault(
        "W used for B in a convolution",
        "ops/transport.py",
        "x, _, bias, feedback, ctx.geometry = inputs",
        "x, feedback, bias, _, ctx.geometry = inputs",
        CONVOLUTION,
    ),
    Fault(
        "learned feedback never updated",
        "ops/transport.py",
        "grad_bias, grad if need_feedback else None\n\n\nclass Geometry",
        "grad_bias, None\n\n\nclass Geometry",
        TRANSPORT,
    ),
    Fault(
        "learned convolution feedback never updated",
        "ops/transport.py",
        "grad_bias, grad if need_feedback else None, None",
        "grad_bias, None, None",
        CONVOLUTION,
    ),
    Fault(
        "the factor dropped from a lesson",
        "ops/transport.py",
        "(ctx.teach(weight, feedback, state) * factor)",
        "ctx.teach(weight, feedback, state)",
        TRANSPORT,
    ),
    Fault(
        "a convolution that sees no autocast",
        "ops/transport.py",
        "_Convolution.apply(*_autocast(x, weight, bias, feedback), geometry)",
        "_Convolution.apply(x, weight, bias, feedback, geometry)",
        CONVOLUTION,
    ),
    Fault(
        "every block handed the feedback of the first",
        "ops/route.py",
        "ctx.delivery.error(i, e, factor, b) if",
        "ctx.delivery.error(0, e, factor, feedback[0]) if",
        EQUATIONS,
    ),
    Fault(
        "the head's error scaled",
        "ops/route.py",
        "return e, None, None, None, *errors, *lessons",
        "return e / 2, None, None, None, *errors, *lessons",
        EQUATIONS,
    ),
    Fault(
        "a factor of one joined to every term",
        "ops/route.py",
        "*[factor.to(dtype) for dtype in ctx.dtypes]",
        "*[torch.ones_like(factor, dtype=dtype) for dtype in ctx.dtypes]",
        FACTOR,
    ),
    Fault(
        "a loss that was not joined passes silently",
        "ops/route.py",
        "if ctx.joined and factor is None:",
        "if False:",
        TRACES,
    ),
    Fault(
        "the batch size forgotten in a delivered prediction",
        "ops/predict.py",
        "d = factor * s / len(s)",
        "d = factor * s",
        SYNTHETIC,
    ),
    Fault(
        "the synthetic gradient's target has the wrong sign",
        "ops/predict.py",
        "2 * (d - true)",
        "2 * (d + true)",
        SYNTHETIC,
    ),
    # -- gradients in the forward pass ------------------------------------------------------------------------------------
    Fault(
        "the factor before the loss dropped where a gradient has waited",
        "ops/settled.py",
        "ratio = factor / scale",
        "ratio = factor / factor",
        MEMORY,
    ),
    Fault(
        "the factor of the step before left in a gradient that has waited",
        "ops/settled.py",
        "ratio = factor / scale",
        "ratio = factor",
        MEMORY,
    ),
    Fault(
        "a second derivative that silently misses the hidden layers",
        "ops/settled.py",
        "if torch.is_grad_enabled():",
        "if False:",
        MEMORY,
    ),
    Fault(
        "a graph freed while someone may still differentiate it",
        "wiring/settling.py",
        "retain_graph=True",
        "retain_graph=False",
        MEMORY,
    ),
    Fault(
        "the graph of every block held until the pass is over",
        "wiring/settling.py",
        "self._taps[-1] = self._taps[-1].new_zeros(()).expand(self._taps[-1].shape)",
        "pass",
        MEMORY,
    ),
    Fault(
        "gradients of 32-bit losses computed under autocast",
        "wiring/settling.py",
        "with torch.autocast(output.device.type, enabled=False):",
        "with torch.enable_grad():",
        MEMORY,
    ),
    Fault(
        "the hooks of a parameter run twice",
        "wiring/settling.py",
        "each.clear()",
        "pass",
        MEMORY,
    ),
    Fault(
        "a loss that overflowed remembered as the factor",
        "wiring/settling.py",
        "torch.where(factor.isfinite() & (factor != 0), factor, last)",
        "factor",
        MEMORY,
    ),
    Fault(
        "a monitor that finds no graph to differentiate",
        "wiring/settling.py",
        "or self.rehearsing or self.keeping or",
        "or self.rehearsing or",
        ("tests/callbacks/test_alignment.py",),
    ),
    Fault(
        "a predictor that learns before its upper neighbour has answered",
        "wiring/synthetic.py",
        "2 * (asked.d - true.to(asked.d.dtype))",
        "2 * asked.d",
        MEMORY,
    ),
    # -- the wirings ------------------------------------------------------------------------------------------------------
    Fault(
        "the cut forgotten, so that the true gradient passes too",
        "wiring/cut.py",
        '"""What enters the next block for the output h of block ``name``."""\n        return h.detach()',
        '"""What enters the next block for the output h of block ``name``."""\n        return h',
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
        "the terms of an aborted forward pass kept for the next loss",
        "wiring/cut.py",
        "self._terms = self._terms[: self._before]",
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
        "wiring/direct.py",
        "self.rule.deliver(rows / factor, feedback) * factor",
        "self.rule.deliver(rows / factor, feedback)",
        (*DIRECT, *FACTOR),
    ),
    Fault(
        "the factor left in the error of a rule that is not linear",
        "wiring/direct.py",
        "self.rule.deliver(rows / factor, feedback) * factor",
        "self.rule.deliver(rows, feedback) * factor",
        (*DIRECT, *FACTOR),
    ),
    Fault(
        "local losses computed in half precision",
        "wiring/local.py",
        "h = tap.to(next(iter(theta.values())).dtype)",
        "h = tap",
        FACTOR,
    ),
    Fault(
        "classes left on the model after detach",
        "wiring/base.py",
        "        for module in self.adopted:\n            release(module)",
        "        for module in self.adopted[1:]:\n            release(module)",
        TRACES,
    ),
    Fault(
        "feedback left on the model after detach",
        "wiring/base.py",
        "module._buffers.pop(slot, None)",
        "module._buffers.get(slot, None)",
        TRACES,
    ),
    Fault(
        "saved feedback not restored",
        "wiring/base.py",
        "            write(held, saved)",
        "            write(held, held)",
        TRACES,
    ),
    Fault(
        "a pattern that matches nothing accepted",
        "wiring/blocks.py",
        "        if not hits:",
        "        if False:",
        ERRORS,
    ),
    Fault(
        "the mode of padding ignored",
        "wiring/layers/dense.py",
        'if self.padding_mode != "zeros":',
        "if False:",
        CONVOLUTION,
    ),
    # -- feedback and rules -----------------------------------------------------------------------------------------------
    Fault(
        "feedback drawn from the global generator",
        "feedback.py",
        "(2 * torch.rand(width, fan_in, generator=rng) - 1) / width**0.5",
        "(2 * torch.rand(width, fan_in) - 1) / width**0.5",
        EQUATIONS,
    ),
    Fault(
        "the seed ignored",
        "feedback.py",
        'f"{seed}:{name}"',
        'f"{name}"',
        (*EQUATIONS, *FEEDBACK),
    ),
    Fault(
        "all layers share one draw",
        "feedback.py",
        'f"{seed}:{name}"',
        'f"{seed}"',
        FEEDBACK,
    ),
    Fault(
        "uniform feedback scaled by the wrong dimension",
        "feedback.py",
        "- 1) / width**0.5",
        "- 1) / fan_in**0.5",
        FEEDBACK,
    ),
    Fault(
        "the readout of LAFS cut from its block",
        "rules/linear_aligned_feedback.py",
        "(h @ feedback, targets)",
        "(h.detach() @ feedback, targets)",
        EQUATIONS,
    ),
    Fault(
        "Kolen-Pollack with fixed feedback",
        "rules/kolen_pollack.py",
        "return feedback if weight.requires_grad else feedback.detach()",
        "return feedback.detach()",
        TRANSPORT,
    ),
    Fault(
        "signs dropped from sign symmetry",
        "rules/fixed_random_sign_symmetry.py",
        "feedback.abs() * weight.detach().sign()",
        "feedback.abs()",
        TRANSPORT,
    ),
    Fault(
        "the pseudoinverse not transposed back",
        "rules/pseudobackpropagation.py",
        "torch.linalg.pinv(full, rtol=self.rtol).mT",
        "full",
        TRANSPORT,
    ),
    Fault(
        "the mirror learns minus W",
        "rules/weight_mirror.py",
        "self.decay * feedback - mirrored",
        "self.decay * feedback + mirrored",
        TRANSPORT,
    ),
]
