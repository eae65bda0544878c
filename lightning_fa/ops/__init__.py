"""The autograd functions. They use tensors only: no rule, no module, no Lightning."""

from lightning_fa.ops.onward import onward
from lightning_fa.ops.prealignment import pre_aligned
from lightning_fa.ops.predict import predicted, scaled
from lightning_fa.ops.route import join, route
from lightning_fa.ops.settled import settled
from lightning_fa.ops.transport import convolution, lesson, linear
from lightning_fa.ops.zero_sum import refuse_zero_sum

__all__ = [
    "convolution",
    "join",
    "lesson",
    "linear",
    "onward",
    "pre_aligned",
    "predicted",
    "refuse_zero_sum",
    "route",
    "scaled",
    "settled",
]
