"""``nn.MultiheadAttention``, whose projections are functional calls and not modules of their own."""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_fa.ops import linear
from lightning_fa.surgery import Behaviour, governed


class Carried(NamedTuple):
    """A weight with its feedback, in place of a weight in ``F.multi_head_attention_forward``. Both are sliced alike."""

    weight: Tensor
    feedback: Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of the weight."""
        return self.weight.shape

    def chunk(self, chunks: int) -> list[Carried]:
        """Slices of both, as ``Tensor.chunk``."""
        return [Carried(w, b) for w, b in zip(self.weight.chunk(chunks), self.feedback.chunk(chunks))]

    def split(self, sizes: list[int]) -> list[Carried]:
        """Slices of both, as ``Tensor.split``."""
        return [Carried(w, b) for w, b in zip(self.weight.split(sizes), self.feedback.split(sizes))]


def _project(x: Tensor, weight: Tensor | Carried, bias: Tensor | None = None) -> Tensor:
    if isinstance(weight, Carried):
        return linear(x, weight.weight, bias, weight.feedback)
    return F.linear(x, weight, bias)


def _with_linear(function: Any, scope: dict[str, Any]) -> Any:
    own = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    own.__kwdefaults__ = function.__kwdefaults__
    return own


# PyTorch's own function, byte for byte, except that the global name `linear` in it is `_project`.
_SCOPE = {**vars(F), "linear": _project}
for _name in ("_in_projection", "_in_projection_packed"):
    _SCOPE[_name] = _with_linear(_SCOPE[_name], _SCOPE)
_attend = _with_linear(F.multi_head_attention_forward, _SCOPE)


class TransportedAttention(Behaviour):
    """``nn.MultiheadAttention``: FA in its input projections (B is sliced as W is) and its output projection."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        m: Any = self
        tensors = (query, key, value, *m.parameters())
        if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
            out: tuple[Tensor, Tensor | None] = super().forward(  # type: ignore[misc]
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
            return out
        padding = F._canonical_mask(
            key_padding_mask, "key_padding_mask", F._none_or_dtype(attn_mask), "attn_mask", query.dtype
        )
        mask = F._canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
        turned = m.batch_first and query.dim() == 3
        if turned:
            query, key, value = _transposed(query, key, value)
        separate = not m._qkv_same_embed_dim
        projections = [self._carried(n) for n in ("q_proj_weight", "k_proj_weight", "v_proj_weight")]
        output, weights = _attend(
            query, key, value, m.embed_dim, m.num_heads, self._carried("in_proj_weight"), m.in_proj_bias, m.bias_k,
            m.bias_v, m.add_zero_attn, m.dropout, self._out_projection(), m.out_proj.bias, m.training, padding,
            need_weights, mask, separate, *projections,
            average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return (output.transpose(1, 0) if turned else output), weights

    def _carried(self, name: str) -> Carried | None:
        if self._parameters[name] is None:  # type: ignore[attr-defined]
            return None
        return Carried(*self._feedback_port(self, name))

    def _out_projection(self) -> Tensor | Carried:
        inner: Any = self.out_proj  # type: ignore[attr-defined]
        return Carried(*inner._feedback_port(inner, "weight")) if governed(inner) else inner.weight


def _transposed(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # Arguments that are the same object stay the same object: by `is` PyTorch decides which projections are done together.
    q = query.transpose(1, 0)
    k = q if key is query else key.transpose(1, 0)
    return q, k, k if value is key else value.transpose(1, 0)


ATTENTION: dict[type[nn.Module], type[Behaviour]] = {nn.MultiheadAttention: TransportedAttention}
