"""Caches of contexts read before, so that another codec of the same context costs no second prefill."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from sharer_service.host_copy import Layer


@dataclass(frozen=True)
class ContextKey:
    """Which cache: of whose tokens. Callers never share, or one could time what another has asked.

    ``question``: what was read behind the context, to observe its attention; empty for the context's own.
    """

    caller: str
    head: tuple[int, ...]
    context: tuple[int, ...]
    question: tuple[int, ...] = ()


class KeptCaches:
    """The latest caches within a memory budget; a budget of 0 keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self._kept = LRUCache[ContextKey, tuple[Layer, ...]](max_bytes, getsizeof=_size_bytes)

    def get(self, key: ContextKey) -> tuple[Layer, ...] | None:
        """All layers of a kept cache, which becomes the latest; None if it is not held."""
        return self._kept.get(key)

    def put(self, key: ContextKey, layers: Sequence[Layer]) -> None:
        """Keep a cache if it fits at all, in the place of one read without attention; the oldest ones make room."""
        if _size_bytes(layers) <= self._kept.maxsize:
            self._kept[key] = tuple(layers)


def _size_bytes(layers: Sequence[Layer]) -> int:
    return sum(keys.nbytes + values.nbytes for _, keys, values, _ in layers)
