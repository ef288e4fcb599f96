"""A sharer's tokens as rows of numbers: all keys and values of some layers side by side, each of mean 0 and variance 1.

A number that was pruned stands at its mean, which is 0; a token of which nothing was kept has no row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from codec.layer import LayerKV


@dataclass(frozen=True, eq=False)
class Rows:
    """``numbers``: ``(rows, features)`` float32; ``slots``: ``(rows,)`` int64, the tokens they are, None for all."""

    numbers: Tensor
    slots: Tensor | None


class Remembered:
    """Rows that several receiver layers need, made once and forgotten with what they came from."""

    def __init__(self) -> None:
        self._rows: WeakKeyDictionary[LayerKV | Rows, Rows] = WeakKeyDictionary()

    def of(self, source: LayerKV | Rows, make: Callable[[], Rows]) -> Rows:
        """Those that came from this source, made now if they never were."""
        if (found := self._rows.get(source)) is None:
            found = self._rows[source] = make()
        return found


def rows(sources: Mapping[int, LayerKV], layers: Sequence[int], mean: Tensor, spread: Tensor) -> Rows:
    """Rows of the tokens, layer by layer, keys before values, head by head.

    mean, spread: ``(features,)`` float32, spread above 0; the numbers come out on their device.
    """
    parts = [(kv, half) for kv in map(sources.__getitem__, layers) for half in (kv.keys, kv.values)]
    tokens = sources[layers[0]].tokens
    whole, seen, at = mean.new_zeros(tokens, mean.shape[0]), torch.zeros(tokens, dtype=torch.bool), 0
    for kv, half in parts:
        heads, kept, dim = half.shape
        width = heads * dim
        columns = slice(at, at + width)
        normal = (half.to(mean) - mean[columns].view(heads, 1, dim)) / spread[columns].view(heads, 1, dim)
        slots = torch.arange(kept) if kv.slots is None else kv.slots.cpu()
        whole[:, columns] = _spread(normal, slots.expand(heads, -1), tokens).transpose(0, 1).flatten(1)
        seen[slots.reshape(-1)] = True
        at += width
    if bool(seen.all()):
        return Rows(whole, None)
    slots = seen.nonzero().reshape(-1)
    return Rows(whole[slots], slots)


def _spread(half: Tensor, slots: Tensor, tokens: int) -> Tensor:
    """``(heads, kept, dim)`` at its tokens, ``(heads, tokens, dim)``, 0 elsewhere."""
    heads, _, dim = half.shape
    at = slots.to(half.device)[..., None].expand(-1, -1, dim)
    return half.new_zeros(heads, tokens, dim).scatter_(1, at, half)
