"""Several sharers, one receiver: in which order their layers are fused, and what each fuser sees.

Whatever order layers arrive in, they are fused in the order of the sharers, so that the result is always the same.
Source: thu-nics/C2C at 69eb705, ``rosetta/model/wrapper.py``, ``multi_source_fusion_mode``.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from codec.layer import LayerKV
from fuser.base import Fuser
from kvwire.requests import FusionOrder

KeysValues = tuple[Tensor, Tensor]


class Cache(Protocol):
    """The receiver's cache, as far as fusing goes."""

    def layer(self, layer: int) -> KeysValues:
        """Keys and values, ``(kv_heads, tokens, head_dim)`` each."""
        ...

    def replace(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put others of the same shape in their place."""
        ...


class Combination(Protocol):
    """What becomes of a layer when one more sharer's is fused in."""

    def fused(
        self, fuser: Fuser, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor
    ) -> KeysValues:
        """The layer as it now is, from what it was."""
        ...


class Sequential:
    """Each fuser sees what the earlier ones made."""

    def fused(
        self, fuser: Fuser, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor
    ) -> KeysValues:
        """One after the other."""
        return fuser.fuse(target, sources, keys, values)


class Parallel:
    """Each fuser sees the receiver's own layer; what they change adds up."""

    def __init__(self) -> None:
        self._own: dict[int, KeysValues] = {}
        self._changes: dict[int, KeysValues] = {}

    def fused(
        self, fuser: Fuser, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor
    ) -> KeysValues:
        """The receiver's own layer and the sum of all changes so far."""
        own = self._own.setdefault(target, (keys, values))
        changed = [new - old for new, old in zip(fuser.fuse(target, sources, *own), own, strict=True)]
        if target in self._changes:
            changed = [before + now for before, now in zip(self._changes[target], changed, strict=True)]
        self._changes[target] = (changed[0], changed[1])
        return own[0] + changed[0], own[1] + changed[1]


_COMBINATIONS: dict[FusionOrder, type[Sequential | Parallel]] = {
    FusionOrder.SEQUENTIAL: Sequential,
    FusionOrder.PARALLEL: Parallel,
}


class Together:
    """Fuses layers of several sharers into one cache."""

    def __init__(self, fusers: Sequence[Fuser], cache: Cache, targets: int, order: FusionOrder) -> None:
        self._fusers = fusers
        self._cache = cache
        self._combination: Combination = _COMBINATIONS[order]()
        self._turns = {
            target: [sharer for sharer, fuser in enumerate(fusers) if fuser.source_layers(target)]
            for target in range(targets)
        }
        self._waiting: dict[tuple[int, int], Mapping[int, LayerKV]] = {}

    def arrived(self, sharer: int, target: int, sources: Mapping[int, LayerKV]) -> None:
        """Fuse a target layer of one sharer, as soon as those of all sharers before it have been fused."""
        self._waiting[target, sharer] = sources
        self._fuse(target)

    def ended(self, sharer: int) -> None:
        """Nothing more comes of one sharer: where it was awaited it is left out."""
        for target, turns in self._turns.items():
            if sharer in turns and (target, sharer) not in self._waiting:
                turns.remove(sharer)
                self._fuse(target)

    def _fuse(self, target: int) -> None:
        """Fuse into a layer whatever has its turn and is there."""
        turns = self._turns[target]
        while turns and (target, turns[0]) in self._waiting:
            turn = turns.pop(0)
            ready = self._waiting.pop((target, turn))
            keys, values = self._cache.layer(target)
            fused = self._combination.fused(self._fusers[turn], target, ready, keys, values)
            self._cache.replace(target, *fused)
