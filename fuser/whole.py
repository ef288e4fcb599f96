"""Tokens that are whole to a fuser mixing all heads of a layer: those that no head pruned."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.layer import LayerKV


@dataclass(frozen=True, eq=False)
class WholeTokens:
    """Some tokens: keys and values ``(kv_heads, whole, head_dim)``, ``slots`` ``(whole,)``, or None if it is all."""

    keys: Tensor
    values: Tensor
    slots: Tensor | None


def whole_tokens(kv: LayerKV) -> WholeTokens:
    """The tokens that every head of the layer kept; a zero never stands in for what one of them pruned."""
    if kv.slots is None or kv.slots.ndim == 1:
        return WholeTokens(kv.keys, kv.values, kv.slots)
    heads, kept = kv.slots.shape
    keepers = torch.zeros(kv.tokens, dtype=torch.int64).index_add_(
        0, kv.slots.reshape(-1), torch.ones(heads * kept, dtype=torch.int64)
    )
    slots = (keepers == heads).nonzero().reshape(-1)
    at = torch.searchsorted(kv.slots, slots.expand(heads, -1).contiguous())[..., None]
    taken = at.expand(heads, slots.shape[0], kv.keys.shape[-1])
    return WholeTokens(kv.keys.gather(1, taken), kv.values.gather(1, taken), slots)


def spread(part: Tensor, slots: Tensor | None, own: Tensor) -> Tensor:
    """The receiver's ``own`` ``(kv_heads, tokens, head_dim)`` with ``part`` in place of the tokens in ``slots``."""
    if slots is None:
        return part.to(own)
    result = own.clone()
    result[:, slots.to(own.device)] = part.to(own)
    return result
