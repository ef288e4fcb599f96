"""The selector seam: a subclass ranks tokens; this base keeps the best."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from codec.prune.keep import Keep


class Selector(ABC):
    """A way to rank tokens. Must not look at anything but the layer at hand, so that layers can stream.

    ``observes``: whether it goes by the attention that the layer's tokens drew; ``asks``: whether that is to be the
    attention of the receiver's question rather than of the tokens themselves.
    """

    observes: ClassVar[bool] = False
    asks: ClassVar[bool] = False

    @abstractmethod
    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:
        """Rank tokens.

        keys, values: ``(kv_heads, tokens, head_dim)``, any float dtype; keys before or after RoPE.
        attention: ``(kv_heads, tokens)``, float32, if it was observed.
        Returns ``(kv_heads, tokens)``, float32; higher is kept first, the earlier token of two equals.
        """

    def select(self, keys: Tensor, values: Tensor, keep: Keep, attention: Tensor | None = None) -> Tensor:
        """Slots to keep, ascending, int64: ``(kept,)`` with layer scope, ``(kv_heads, kept)`` with head scope.

        With layer scope the heads' mean score decides. Sinks are the first tokens; they count towards what is kept.
        """
        score = self.score(keys, values, attention)
        if keep.scope == "layer":
            score = score.mean(dim=0)
        score = score.clone()
        score[..., : keep.sinks] = torch.inf
        best = score.argsort(dim=-1, descending=True, stable=True)
        return best[..., : keep.count(keys.shape[1])].sort(dim=-1).values


def gather(x: Tensor, slots: Tensor) -> Tensor:
    """The slots' vectors, ``(kv_heads, kept, head_dim)``, of ``x``, ``(kv_heads, tokens, head_dim)``."""
    if slots.ndim == 1:
        return x[:, slots]
    return x.gather(1, slots[:, :, None].expand(-1, -1, x.shape[-1]))
