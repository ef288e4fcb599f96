"""A token bucket: how often something may happen.

Of our own because the library `limits` (5.8) counts by the wall clock: where that jumps, all are shut out, or none.
"""

from collections.abc import Callable


class Bucket:
    """Holds at most ``capacity`` and fills by ``per_s`` a second, by a clock that never goes back."""

    def __init__(self, capacity: float, per_s: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._per_s = per_s
        self._clock = clock
        self._held = capacity
        self._filled_s = clock()

    def wait_s(self, count: int) -> float:
        """Seconds until so many can be taken; 0 if now, infinite if never."""
        if count > self._capacity:
            return float("inf")
        return max(0.0, (count - self._now()) / self._per_s)

    def take(self, count: int) -> None:
        """Take so many; ask :meth:`wait_s` first."""
        self._held = self._now() - count

    def _now(self) -> float:
        now_s = self._clock()
        self._held = min(self._capacity, self._held + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        return self._held
