"""The memory that a request takes before it computes, by the services' own rules (docs/operations.md, Memory)."""

from collections.abc import Callable

from simpy import Container, Environment

from kvwire.byte_budget import ByteBudget
from simulation.host import Process
from simulation.times import Shape

#: A slot's position, for each key-value head.
_POSITION_BYTES = 8
_FLOAT32_BYTES = 4
#: Rows of answers are that long at first, then four times as long; and so many slots longer to grow in.
_SHORT_SLOTS, _GROWTH, _ROOM_SLOTS = 256, 4, 64


def cache_bytes(shape: Shape, slots: int) -> int:
    """A cache of so many slots."""
    return shape.layers * shape.kv_heads * slots * (2 * shape.head_dim * shape.number_bytes + _POSITION_BYTES)


def share_bytes(shape: Shape, context_tokens: int) -> int:
    """What a sharer takes for a context: its cache and half as much."""
    return cache_bytes(shape, context_tokens) * 3 // 2


def answer_bytes(shape: Shape, context_tokens: int, slots: int) -> int:
    """What a receiver takes: two of the longest rows that may stand beside this answer's, and the sharer's layers."""
    longest = _SHORT_SLOTS
    while slots > longest:
        longest *= _GROWTH
    return 2 * cache_bytes(shape, longest + _ROOM_SLOTS) + shape.values_per_token * context_tokens * _FLOAT32_BYTES


class Room:
    """So many bytes for all requests in flight; who finds them taken waits in order of arrival."""

    def __init__(self, env: Environment, max_bytes: int) -> None:
        self._free = Container(env, capacity=max_bytes, init=max_bytes)

    def fits(self, nbytes: int) -> bool:
        """Whether so many could ever be had."""
        return nbytes <= self._free.capacity

    def hold(self, nbytes: int, work: Callable[[], Process]) -> Process:
        """Wait for so many, do something, and give them back."""
        yield self._free.get(nbytes)
        found = yield from work()
        yield self._free.put(nbytes)
        return found


class Kept:
    """Contexts a service keeps, and how much of each, within a budget; those unused for longest make room."""

    def __init__(self, max_bytes: int) -> None:
        self._kept = ByteBudget[tuple[str, int], int](max_bytes, lambda nbytes: nbytes)

    def has(self, what: str, context: int) -> bool:
        """Whether it is kept; it becomes the latest."""
        return self._kept.get((what, context)) is not None

    def put(self, what: str, context: int, nbytes: int) -> None:
        """Keep it, if it fits at all."""
        self._kept.put((what, context), nbytes)
