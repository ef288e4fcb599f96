"""Attention by explicit positions, plugged into transformers as the implementation ``kvwire``.

transformers derives masks from the cache's length, which is wrong once slots are pruned, layers hold different slots
or a window slides. Here visibility follows from positions alone: a query sees a key when the key's position is not
later, lies within the layer's window, and belongs to the same branch or to the trunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from kvwire.engine.cache import PositionedCache
from kvwire.engine.rows import Rows

IMPLEMENTATION = "kvwire"

#: The branch of tokens that all branches see.
TRUNK = -1

#: Queries at the end of a pass whose attention is observed. Source: SnapKV, arXiv 2404.14469, section 4.2.
OBSERVED_QUERIES = 32


@dataclass(frozen=True)
class AttentionObserver:
    """``told(layer, attention)`` sees what each slot drew of the last queries, ``(kv_heads, slots)`` float32.

    It is told once the layer has been computed. ``queries``: how many of the pass's last tokens.
    """

    told: Callable[[int, Tensor], None]
    queries: int = OBSERVED_QUERIES


@dataclass(frozen=True)
class Visibility:
    """What the tokens of one forward pass may see.

    ``positions``: ``(tokens,)`` int64, the tokens being read. ``branches``: ``(tokens,)`` int64 or None; tokens of one
    branch see the trunk (everything cached before, and the tokens of branch -1) and their own branch, so that several
    continuations are scored in one pass. ``windows``: visible tokens per layer, 0 for full attention. ``observer``: is
    told what each slot drew of the last queries' attention; without one nothing is computed for it.
    """

    cache: PositionedCache
    positions: Tensor
    windows: tuple[int, ...]
    branches: Tensor | None = None
    observer: AttentionObserver | None = None

    def mask(self, layer: int) -> Tensor | None:
        """Boolean mask ``(1, kv_heads or 1, tokens, slots)``, True is visible; None for plain causal attention."""
        keys = self.cache.positions[layer]
        if keys is None:
            return None
        tokens, slots, window = self.positions.shape[0], keys.shape[-1], self.windows[layer]
        if self._plain(tokens, slots, window, keys):
            return None
        held, own = keys[..., None, :], self.positions[:, None]
        visible = held <= own  # compared as they are: differences of tokens x slots would take eight bytes each
        if window:
            visible &= held > own - window
        if self.branches is not None:
            trunk = slots - tokens
            visible[..., trunk:] &= (self.branches[:, None] == self.branches) | (self.branches == TRUNK)
        return visible[None] if visible.ndim > 2 else visible[None, None]  # noqa: PLR2004  # per-head positions

    def last_queries(self, layer: int, queries: int) -> Tensor:
        """What the last queries of a pass without branches see, ``(queries, slots)`` bool; heads hold the same slots.

        Raises:
            LookupError: The layer holds no slots, or each head its own.
        """
        keys = self.cache.positions[layer]
        if keys is None or keys.ndim > 1:
            raise LookupError(f"layer {layer}: attention is observed over slots that all heads share")
        distance = self.positions[-queries:, None] - keys
        window = self.windows[layer]
        return (distance >= 0) & (distance < window) if window else distance >= 0

    def _plain(self, tokens: int, slots: int, window: int, keys: Tensor) -> bool:
        """Whether attention without a mask is right: one token that sees all, or a causal pass from the start."""
        if self.branches is not None or (tokens > 1 and slots != tokens):
            return False
        return not window or int(self.positions[-1]) - int(keys.min()) < window


def positioned_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001  # transformers' own mask: not made for this implementation
    *,
    visibilities: tuple[Visibility, ...] = (),
    rows: Rows | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention, shapes as transformers passes them; each sequence sees its own cache only.

    Sequences are side by side in one row, with ``visibilities``, or have a row each, with ``rows``.
    """
    kwargs.pop("is_causal", None)
    if rows is not None:
        return _attend_rows(query, key, value, rows.mask(_layer(module)), kwargs["scaling"]), None
    if len(visibilities) == 1:
        return _attend(module, query, key, value, visibilities[0], kwargs), None
    outputs = []
    queries = query.split([visibility.positions.shape[0] for visibility in visibilities], dim=2)
    for own, visibility in zip(queries, visibilities, strict=True):
        keys, values = visibility.cache.layer(_layer(module))
        outputs.append(_attend(module, own, keys[None], values[None], visibility, kwargs))
    return torch.cat(outputs, dim=1), None


def _attend(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, visibility: Visibility, kwargs: dict[str, Any]
) -> Tensor:
    layer = _layer(module)
    mask = visibility.mask(layer)
    if (observer := visibility.observer) is not None:
        seen = visibility.last_queries(layer, observer.queries)
        observer.told(layer, observed_attention(query[0, :, -seen.shape[0] :], key[0], seen, kwargs["scaling"]))
    if mask is not None and mask.shape[1] > 1:
        mask = mask.repeat_interleave(query.shape[1] // mask.shape[1], dim=1)
    output: Tensor = sdpa_attention_forward(module, query, key, value, mask, **kwargs)[0]
    return output


def _attend_rows(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> Tensor:
    """One query a row: the query heads of a kv head stand as its queries, so that no key is repeated for them.

    query: ``(rows, heads, 1, head_dim)``; key, value: ``(rows, kv_heads, slots, head_dim)``.
    Returns ``(rows, 1, heads, head_dim)``.
    """
    rows, heads, _, head_dim = query.shape
    kv_heads = key.shape[1]
    grouped = query.reshape(rows, kv_heads, heads // kv_heads, head_dim)
    output = scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(rows, 1, heads, head_dim)


def _layer(module: torch.nn.Module) -> int:
    return int(module.layer_idx)  # type: ignore[arg-type]  # an int on every attention module


def observed_attention(query: Tensor, key: Tensor, visible: Tensor, scaling: float) -> Tensor:
    """What each slot draws of the queries' attention: mean weight over the queries that see it, and over query heads.

    query: ``(heads, queries, head_dim)``; key: ``(kv_heads, slots, head_dim)``; visible: ``(queries, slots)`` bool.
    Returns ``(kv_heads, slots)`` float32. A sum over queries, as SnapKV takes, would rank the window's own last tokens
    low because few queries come after them; SnapKV keeps its window in any case, which no short context can afford.
    """
    kv_heads, slots, head_dim = key.shape
    grouped = query.float().reshape(kv_heads, -1, query.shape[1], head_dim)
    logits = grouped @ key.float()[:, None].mT * scaling
    weights = logits.masked_fill(~visible, -torch.inf).softmax(dim=-1)
    drawn = weights.mean(dim=1).sum(dim=1) / visible.sum(dim=0).clamp(min=1)
    return drawn.reshape(kv_heads, slots)


AttentionInterface.register(IMPLEMENTATION, positioned_attention)
