"""Keys and values of some tokens, out of an engine's blocks and back into them.

An engine keeps a layer's cache in blocks of a few tokens each; a request's tokens lie in the blocks it was given. The
slot of a token is ``block x block size + place in the block``. Layouts are vLLM's: ``content`` is that of 0.33 where
numbers are plain (``vllm/v1/kv_cache_interface.py``: one order of axes, whatever the order in memory); the others are
of releases before.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kvwire.errors import InvalidRequestError

#: A layer's cache -> keys and values, ``(blocks, kv_heads, block_size, head_dim)``: views, so writes reach the cache.
Halves = Callable[[Tensor], tuple[Tensor, Tensor]]


def _in_content(paged: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = paged.tensor_split(2, dim=3)
    return keys, values


def _outermost(paged: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = (half.squeeze(0).transpose(-2, -3) for half in paged.tensor_split(2, dim=0))
    return keys, values


def _in_block(paged: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = (half.squeeze(1).transpose(-2, -3) for half in paged.tensor_split(2, dim=1))
    return keys, values


#: Where a layout keeps keys and values apart, and its axes.
LAYOUTS: dict[str, tuple[Halves, str]] = {
    "content": (_in_content, "(blocks, kv_heads, block_size, 2 x head_dim)"),
    "outermost": (_outermost, "(2, blocks, block_size, kv_heads, head_dim)"),
    "in_block": (_in_block, "(blocks, 2, block_size, kv_heads, head_dim)"),
}


class PagedLayer:
    """One layer's cache as an engine holds it."""

    def __init__(self, paged: Tensor, layout: str, kv_heads: int, head_dim: int) -> None:
        """``paged``: the engine's own tensor, of any float dtype; nothing is copied.

        Raises:
            InvalidRequestError: An unknown layout, a tensor that is not of it, or numbers the engine has quantized.
        """
        if layout not in LAYOUTS:
            raise InvalidRequestError(f"no layout is named {layout!r}; known: {', '.join(LAYOUTS)}")
        halves, axes = LAYOUTS[layout]
        if paged.ndim != axes.count(",") + 1 or not paged.is_floating_point() or paged.element_size() == 1:
            raise InvalidRequestError(
                f"a cache of shape {tuple(paged.shape)} and type {paged.dtype} is not of layout {layout}, {axes} of 16 "
                "or 32 bits; name another layout, and leave the engine's own quantization off"
            )
        self._keys, self._values = halves(paged)
        found = tuple(self._keys.shape)
        if found[1::2] != (kv_heads, head_dim) or self._values.shape != self._keys.shape:
            raise InvalidRequestError(
                f"a cache of shape {tuple(paged.shape)} read as {axes} is not of {kv_heads} kv heads of {head_dim}, "
                "which the model has; name another layout"
            )

    @property
    def block_size(self) -> int:
        """Tokens of a block."""
        return self._keys.shape[2]

    def gather(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the keys and values at these slots, each ``(kv_heads, slots, head_dim)``."""
        block, place = self._places(slots)
        keys, values = (half[block, :, place].transpose(0, 1).contiguous() for half in (self._keys, self._values))
        return keys, values

    def scatter(self, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put keys and values, each ``(kv_heads, slots, head_dim)``, of any float dtype, where these slots are."""
        block, place = self._places(slots)
        for half, given in ((self._keys, keys), (self._values, values)):
            half[block, :, place] = given.transpose(0, 1).to(half)

    def _places(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        slots = slots.to(self._keys.device)
        return slots // self.block_size, slots % self.block_size


def slots_of(blocks: Sequence[int], block_size: int, first: int, end: int) -> Tensor:
    """Slots of a request's tokens ``first`` to ``end``, int64; ``blocks`` are the request's, in order.

    Raises:
        InvalidRequestError: Fewer blocks than the tokens need.
    """
    if end > len(blocks) * block_size:
        raise InvalidRequestError(f"{end} tokens in {len(blocks)} blocks of {block_size}: blocks are missing")
    tokens = torch.arange(first, end)
    return torch.tensor(blocks, dtype=torch.int64)[tokens // block_size] * block_size + tokens % block_size
