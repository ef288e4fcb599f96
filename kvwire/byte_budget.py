"""The latest values within a memory budget."""

from collections.abc import Callable
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K")
V = TypeVar("V")


class ByteBudget(Generic[K, V]):
    """Keeps values of at most ``max_bytes`` together, sizes by ``nbytes``; a budget of 0 keeps nothing."""

    def __init__(self, max_bytes: int, nbytes: Callable[[V], int]) -> None:
        self._kept = LRUCache[K, V](max_bytes, getsizeof=nbytes)
        self._nbytes = nbytes

    def get(self, key: K) -> V | None:
        """What is kept by this key, which becomes the latest; None if nothing is."""
        return self._kept.get(key)

    def fits(self, value: V) -> bool:
        """Whether a value is kept if it is put here."""
        return self._nbytes(value) <= self._kept.maxsize

    def put(self, key: K, value: V) -> None:
        """Keep a value if it fits at all, in the place of the key's last; those unused for longest make room."""
        if self.fits(value):
            self._kept[key] = value
