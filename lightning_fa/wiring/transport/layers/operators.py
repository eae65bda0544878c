"""PyTorch's operators by name, grouped by how they combine a weight with an activation."""

from __future__ import annotations

LINEAR = {
    *(
        "linear",
        "matmul",
        "__matmul__",
        "__rmatmul__",
        "mm",
        "bmm",
        "mv",
        "dot",
        "vdot",
        "inner",
        "tensordot",
        "einsum",
    ),
    *("addmm", "addmv", "addbmm", "baddbmm", "chain_matmul", "multi_dot", "bilinear"),
    *(f"conv{transposed}{d}d" for transposed in ("", "_transpose") for d in (1, 2, 3)),
}
"""Linear in each input: the error of an activation travels through B."""

PRODUCTS = {"mul", "multiply", "__mul__", "__rmul__"}
"""A weight times an activation is linear. A weight times a constant that fits its shape is another weight."""

SUMS = {"add", "sub", "subtract", "__add__", "__radd__", "__sub__", "__rsub__", "rsub", "where"}
"""A weight that is added to an activation, such as a position embedding. No error travels through the weight."""

JOINED = {"cat", "concat", "concatenate", "stack", "hstack", "vstack"}
"""A weight that is appended to activations, such as a class token. No error travels through the weight."""

LOOKUPS = {"embedding", "embedding_bag", "index_select", "gather", "take", "__getitem__"}
"""Rows of a weight, chosen by an index that is an input. The rows are activations, not another weight."""

SAMPLERS = {
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "native_dropout"),
    *("bernoulli", "multinomial", "poisson", "rrelu", "gumbel_softmax", "fractional_max_pool2d"),
}
"""Operators that draw random numbers. Separate draws for W and for B would give two different maps."""


def makes_anew(name: str) -> bool:
    """Whether the operator only takes shape and type from its argument."""
    return name.endswith("_like") or name.startswith("new_")


IN_PLACE = {"__setitem__", "__set__", *(f"__i{op}__" for op in ("add", "sub", "mul", "truediv", "matmul", "and", "or"))}


def in_place(name: str) -> bool:
    """Whether the operator changes its first argument."""
    return name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
