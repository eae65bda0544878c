"""Faults in the autograd functions."""

from tests.faults.fault import Fault

COMPLEX = ("tests/equations/test_complex.py",)
EQUATIONS = ("tests/equations/test_oracles.py", "tests/contract/test_contract.py")
CONVOLUTION = ("tests/equations/test_convolutions.py",)
FACTOR = ("tests/contract/test_factor.py",)
TRACES = ("tests/contract/test_traces.py",)
TRANSPORT = ("tests/equations/test_transport_rules.py",)
IGNORED = ("tests/contract/test_targets.py",)
SYNTHETIC = ("tests/equations/test_synthetic_gradients.py",)

FAULTS = [
    Fault(
        "the sign of a transported error",
        "ops/transport.py",
        "(rows @ feedback.conj()).view(x.shape)",
        "-(rows @ feedback.conj()).view(x.shape)",
        EQUATIONS,
    ),
    Fault(
        "W used for B in a linear layer",
        "ops/transport.py",
        "ctx.save_for_backward(x, feedback)\n        out =",
        "ctx.save_for_backward(x, weight)\n        out =",
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
        "ctx.save_for_backward(x, feedback)\n        return",
        "ctx.save_for_backward(x, weight)\n        return",
        CONVOLUTION,
    ),
    Fault(
        "learned feedback never updated",
        "ops/transport.py",
        "grad_bias, grad if need_feedback else None\n\n\ndef _products",
        "grad_bias, None\n\n\ndef _products",
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
        "d = (factor * s).div_(n)",
        "d = factor * s",
        SYNTHETIC,
    ),
    Fault(
        "an ignored row receives its prediction",
        "wiring/deliveries/synthetic.py",
        "s if ignored is None else s.masked_fill(ignored, 0.0)",
        "s",
        IGNORED,
    ),
    Fault(
        "ignored rows counted in the scale of a prediction",
        "wiring/deliveries/synthetic.py",
        "n * share(counts, n.dtype)",
        "n",
        IGNORED,
    ),
    Fault(
        "a predictor reads a label that is not a number",
        "wiring/stores/rows.py",
        "torch.where(known(targets), targets, 0.0).reshape",
        "targets.reshape",
        IGNORED,
    ),
    Fault(
        "the synthetic gradient's target has the wrong sign",
        "ops/predict.py",
        "(d - true).mul_(2)",
        "(d + true).mul_(2)",
        SYNTHETIC,
    ),
    Fault(
        "the error of a complex layer without the conjugate",
        "ops/transport.py",
        "(rows @ feedback.conj())",
        "(rows @ feedback)",
        COMPLEX,
    ),
    Fault(
        "the gradient of a complex weight without the conjugate",
        "ops/transport.py",
        "rows.t() @ x.reshape(-1, x.shape[-1]).conj()",
        "rows.t() @ x.reshape(-1, x.shape[-1])",
        COMPLEX,
    ),
]
