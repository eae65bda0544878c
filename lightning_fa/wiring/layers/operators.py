"""What a transport rule knows of PyTorch's operators, by their names: which are linear in what is no weight."""

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
"""Linear in each of their inputs: an activation's error travels through B."""

PRODUCTS = {"mul", "multiply", "__mul__", "__rmul__"}
"""Of a weight and an activation: linear. Of a weight and a constant in the weight's shape: another weight."""

SUMS = {"add", "sub", "subtract", "__add__", "__radd__", "__sub__", "__rsub__", "rsub", "where"}
"""Of a weight and an activation, as a position embedding: no error travels through the weight."""

JOINED = {"cat", "concat", "concatenate", "stack", "hstack", "vstack"}
"""Appended to activations, as a class token: no error travels through the weight."""

LOOKUPS = {"embedding", "embedding_bag", "index_select", "gather", "take", "__getitem__"}
"""Rows chosen by an index that is no part of the layer: the input of a network, and no weight."""

SAMPLERS = {
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "native_dropout"),
    *("bernoulli", "multinomial", "poisson", "rrelu", "gumbel_softmax", "fractional_max_pool2d"),
}
"""Drawn once for W and once for B they would be two different maps."""


def makes_anew(name: str) -> bool:
    """Whether the operator only takes shape and type from its argument."""
    return name.endswith("_like") or name.startswith("new_")


IN_PLACE = {"__setitem__", "__set__", *(f"__i{op}__" for op in ("add", "sub", "mul", "truediv", "matmul", "and", "or"))}


def in_place(name: str) -> bool:
    """Whether the operator changes its first argument."""
    return name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
