"""The caches of sequences that decode together: a row each, padded to one length, extended in place.

A cache of its own grows by copying itself for every token, and attention over many caches is many small calls; in rows
a token is written where it belongs and all sequences attend in one call. Rows are of any length, pruned or not: what a
row does not hold has a position that no query ever reaches.
"""

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from kvwire.engine.cache import PositionedCache

#: A position behind every query: nothing there is visible.
_NOWHERE = 1 << 40

#: Slots that are added when a row is full, so that growing is rare.
ROOM_SLOTS = 64

#: Sequences of up to so many slots stand side by side; longer ones, with those that are up to four times as long.
_SHORT_SLOTS = 256

#: One row is spare for so many that are used when rows are added, so that copying all of them is rare too.
_SPARE = 4


def longest_beside(slots: int) -> int:
    """How many slots a sequence may have that stands beside one that may come to ``slots``."""
    longest = _SHORT_SLOTS
    while slots > longest:
        longest *= 4
    return longest


class _LayerRows:
    """One layer: keys and values ``(rows, kv_heads, slots, head_dim)``, positions ``(rows, kv_heads or 1, slots)``."""

    def __init__(self, keys: Tensor, positions: Tensor) -> None:
        """No rows yet, of the kind of a first one."""
        heads = positions.shape[0] if positions.ndim > 1 else 1
        self.keys = keys.new_zeros(0, keys.shape[0], 0, keys.shape[2])
        self.values = self.keys
        self.positions = positions.new_zeros(0, heads, 0)
        self.filled: list[int] = []
        self._next = positions.new_zeros(0)  # the same where the slots are: an index from elsewhere is waited for

    def join(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Add a row: ``(kv_heads, slots, head_dim)``, positions ``(slots,)`` or ``(kv_heads, slots)``."""
        row, slots = len(self.filled), keys.shape[1]
        if positions.ndim > 1:  # then those of all rows are per head from now on
            self.positions = self.positions.expand(-1, keys.shape[0], -1).contiguous()
        if row == self.keys.shape[0]:
            self._resize(row + 1 + row // _SPARE, max(slots + ROOM_SLOTS, self.keys.shape[2]))
        elif slots >= self.keys.shape[2]:
            self._resize(self.keys.shape[0], slots + ROOM_SLOTS)
        self.keys[row, :, :slots] = keys
        self.values[row, :, :slots] = values
        self.positions[row] = _NOWHERE
        self.positions[row, :, :slots] = positions
        self._fill([*self.filled, slots])

    def row(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """A copy of what a row holds, as :meth:`join` takes it."""
        slots = self.filled[row]
        positions = self.positions[row, :, :slots].clone()
        keys, values = self.keys[row, :, :slots].clone(), self.values[row, :, :slots].clone()
        return keys, values, positions if len(positions) > 1 else positions[0]

    def drop(self, row: int) -> None:
        """Remove a row; the last one takes its place. Memory of which less than half is used shrinks."""
        last = len(self.filled) - 1
        for tensor in (self.keys, self.values, self.positions):
            tensor[row] = tensor[last]
        self.filled[row] = self.filled[last]
        self._fill(self.filled[:last])
        if 2 * last < self.keys.shape[0]:
            self._resize(last, self.keys.shape[2])

    def append(self, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Add a slot to every row, ``(rows, kv_heads, 1, head_dim)`` and ``(rows,)``; return what rows hold."""
        rows, most = len(self.filled), max(self.filled) + 1
        if most > self.keys.shape[2]:
            self._resize(self.keys.shape[0], most + ROOM_SLOTS)
        each, slots = torch.arange(rows, device=keys.device), self._next
        self.keys[each, :, slots] = keys[:, :, 0]
        self.values[each, :, slots] = values[:, :, 0]
        self.positions[each, :, slots] = positions[:, None]
        self.filled = [filled + 1 for filled in self.filled]
        self._next = slots + 1
        return self.keys[:rows, :, :most], self.values[:rows, :, :most]

    def visible(self, positions: Tensor, window: int) -> Tensor:
        """What a query at each row's position sees, ``(rows, kv_heads or 1, 1, slots)`` bool."""
        held = self.positions[: len(self.filled), :, None, : max(self.filled)]
        distance = positions[:, None, None, None] - held
        return (distance >= 0) & (distance < window) if window else distance >= 0

    def _fill(self, filled: list[int]) -> None:
        self.filled, self._next = filled, self.positions.new_tensor(filled)

    def _resize(self, rows: int, slots: int) -> None:
        held = (slice(len(self.filled)), slice(None), slice(self.keys.shape[2]))
        for name, nothing in (("keys", 0), ("values", 0), ("positions", _NOWHERE)):
            old: Tensor = getattr(self, name)
            new = old.new_full((rows, old.shape[1], slots, *old.shape[3:]), nothing)
            new[held] = old[: len(self.filled)]
            setattr(self, name, new)


class Rows(Cache):
    """All layers, for a forward pass over one new token of every sequence."""

    def __init__(self, windows: tuple[int, ...]) -> None:
        """``windows``: visible tokens per layer, 0 for full attention."""
        super().__init__(layers=[])
        self._windows = windows
        self._layers: list[_LayerRows] = []
        self.incoming = torch.empty(0, dtype=torch.int64)

    def join(self, cache: PositionedCache) -> None:
        """Add a sequence as the last row. Its cache moves there, a layer at a time, and is empty afterwards."""
        for index in range(len(self._windows)):
            keys, values, positions = cache.take(index)
            if index == len(self._layers):
                self._layers.append(_LayerRows(keys, positions))
            self._layers[index].join(keys, values, positions)

    def row(self, row: int) -> PositionedCache:
        """A copy of a sequence's cache."""
        cache = PositionedCache(len(self._layers))
        for index, rows in enumerate(self._layers):
            cache.place(index, *rows.row(row))
        return cache

    def drop(self, row: int) -> None:
        """Remove a sequence; the last one takes its row."""
        for rows in self._layers:
            rows.drop(row)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object) -> tuple[Tensor, Tensor]:
        """Append a forward pass's keys and values, ``(rows, kv_heads, 1, head_dim)``; return what rows hold."""
        return self._layers[layer_idx].append(key_states, value_states, self.incoming)

    def mask(self, layer: int) -> Tensor:
        """Boolean mask ``(rows, kv_heads or 1, 1, slots)``, True is visible."""
        return self._layers[layer].visible(self.incoming, self._windows[layer])

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Slots of the longest row; transformers asks."""
        return max(self._layers[layer_idx].filled, default=0)
