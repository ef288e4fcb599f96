"""The cache a model reads and writes: per-layer keys and values with an explicit position for every slot."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache

LayerListener = Callable[[int, Tensor, Tensor], None]


class PositionedCache(Cache):
    """Keys, values and positions of one sequence, layer by layer.

    Each layer holds keys and values of shape ``(kv_heads, slots, head_dim)``, keys after RoPE, and positions of shape
    ``(slots,)`` or, where heads keep different tokens, ``(kv_heads, slots)``, int64. Layers may hold different slots:
    a pruned token is simply not there, and the positions of the others do not move.

    transformers calls :meth:`update` once per layer and forward pass; ``listener`` then sees the layer's new keys and
    values, each ``(kv_heads, new_tokens, head_dim)``, while later layers have yet to run. ``before``, if set, is called
    with each layer before it takes them: what it places there stands before them. What either raises stops the pass.
    """

    def __init__(self, layers: int, listener: LayerListener | None = None) -> None:
        super().__init__(layers=[])
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers
        self.positions: list[Tensor | None] = [None] * layers
        self.listener = listener
        self.before: Callable[[int], None] | None = None
        self.incoming = torch.empty(0, dtype=torch.int64)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object) -> tuple[Tensor, Tensor]:
        """Append a forward pass's keys and values, ``(1, kv_heads, new_tokens, head_dim)``; return all of them."""
        if self.before is not None:
            self.before(layer_idx)
        keys, values = key_states[0], value_states[0]
        self.place(layer_idx, keys, values, self.incoming)
        if self.listener is not None:
            self.listener(layer_idx, keys, values)
        all_keys, all_values = self.layer(layer_idx)
        return all_keys.unsqueeze(0), all_values.unsqueeze(0)

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, ``(kv_heads, slots, head_dim)`` each.

        Raises:
            LookupError: Nothing was placed there yet.
        """
        keys, values = self.keys[layer], self.values[layer]
        if keys is None or values is None:
            raise LookupError(f"layer {layer} holds no slots yet")
        return keys, values

    def place(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Append slots to one layer: keys and values ``(kv_heads, slots, head_dim)``, positions as the class says."""
        own_keys, own_values, own_positions = self.keys[layer], self.values[layer], self.positions[layer]
        if own_keys is None or own_values is None or own_positions is None:
            self.keys[layer], self.values[layer], self.positions[layer] = keys, values, positions
            return
        self.keys[layer] = torch.cat([own_keys, keys], dim=-2)
        self.values[layer] = torch.cat([own_values, values], dim=-2)
        self.positions[layer] = torch.cat(_alike(own_positions, positions), dim=-1)

    def begin_as(self, other: "PositionedCache") -> None:
        """Hold the slots of another cache; what is placed behind them is in neither's way."""
        self.keys, self.values, self.positions = list(other.keys), list(other.values), list(other.positions)

    def replace(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put other keys and values of the same shape in a layer's slots; positions stay."""
        self.keys[layer], self.values[layer] = keys, values

    def take(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """A layer's keys, values and positions, which are no longer held here: whoever takes them copies them.

        Raises:
            LookupError: Nothing was placed there yet, or it was taken.
        """
        keys, values = self.layer(layer)
        positions = self.positions[layer]
        if positions is None:
            raise LookupError(f"layer {layer} holds no slots yet")
        self.keys[layer] = self.values[layer] = self.positions[layer] = None
        return keys, values, positions

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Slots in a layer; transformers asks."""
        positions = self.positions[layer_idx]
        return 0 if positions is None else positions.shape[-1]


class SideBySide(Cache):
    """The caches of several sequences that share one forward pass; each takes the tokens that are its own."""

    def __init__(self, caches: Sequence[PositionedCache]) -> None:
        super().__init__(layers=[])
        self._caches = caches

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object) -> tuple[Tensor, Tensor]:
        """Hand each cache its share of ``(1, kv_heads, new_tokens, head_dim)``; attention reads the caches itself."""
        tokens = [cache.incoming.shape[0] for cache in self._caches]
        parts = key_states.split(tokens, dim=2), value_states.split(tokens, dim=2)
        for cache, keys, values in zip(self._caches, *parts, strict=True):
            cache.update(keys, values, layer_idx)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Slots of all sequences in a layer."""
        return sum(cache.get_seq_length(layer_idx) for cache in self._caches)


def _alike(left: Tensor, right: Tensor) -> list[Tensor]:
    """Both position tensors per head if one of them is."""
    if left.ndim == right.ndim:
        return [left, right]
    heads = max(left.shape[0] if left.ndim > 1 else 1, right.shape[0] if right.ndim > 1 else 1)
    return [t if t.ndim > 1 else t.expand(heads, -1) for t in (left, right)]
