"""The autograd functions. They know tensors only: no rule, no module, no Lightning."""

from lightning_fa.ops.route import join, route
from lightning_fa.ops.transport import convolution, linear

__all__ = ["convolution", "join", "linear", "route"]
