"""Chooses which of several addresses is asked: where a context is held already, the least busy, or each in turn."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol, TypeVar

from kvwire.requests import Input


class Balance(StrEnum):
    """The choices, as settings name them."""

    AFFINITY = "affinity"
    LEAST_BUSY = "least_busy"
    ROUND_ROBIN = "round_robin"


# An address may have a quarter more calls in flight than the mean of all. Source: V. Mirrokni, M. Thorup and
# M. Zadimoghaddam, Consistent Hashing with Bounded Loads, arXiv 1608.01350; the value is what balancers ship with.
_MOST_OF_MEAN = 1.25


class Member(Protocol):
    """One address, as far as it is chosen by."""

    @property
    def address(self) -> str:
        """``host:port``."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls of ours that it has not ended yet."""
        ...


M = TypeVar("M", bound=Member)


class Choice(Protocol):
    """Chooses one of the members, of which there is at least one; ``key`` is the question's :func:`affinity_key`."""

    def __call__(self, members: Sequence[M], key: bytes) -> M:
        """One of them."""
        ...


def affinity_key(caller: str, context: Input | None, prompt: Input) -> bytes:
    """Alike for questions that a kept cache may serve: of one caller, on one context; without one, of one prompt."""
    read = prompt if context is None else context
    return blake2b(repr((caller, type(read).__name__, astuple(read))).encode(), digest_size=16).digest()


def affinity(members: Sequence[M], key: bytes) -> M:
    """The one that the key always falls to, or the next in the key's own order while that has too much to do.

    Rendezvous hashing: if an address goes, its keys alone move, and evenly. Source: D. Thaler and C. Ravishankar, Using
    Name-Based Mappings to Increase Hit Rates, IEEE/ACM Transactions on Networking 6(1), 1998.
    """
    most = math.ceil(_MOST_OF_MEAN * (1 + sum(each.in_flight for each in members)) / len(members))
    free = [each for each in members if each.in_flight < most]
    return _first(free, key)


def least_busy(members: Sequence[M], key: bytes) -> M:
    """The one with the fewest of our calls in flight; of equals the key's own, where others would meet at the first."""
    fewest = min(each.in_flight for each in members)
    return _first([each for each in members if each.in_flight == fewest], key)


def _first(members: Sequence[M], key: bytes) -> M:
    """In the key's own order."""
    return max(members, key=lambda each: blake2b(key + each.address.encode(), digest_size=8).digest())


class RoundRobin:
    """Each in turn, whatever is asked: what the others are measured against."""

    def __init__(self) -> None:
        self._turn = -1

    def __call__(self, members: Sequence[M], key: bytes) -> M:
        """The next one."""
        del key
        self._turn += 1
        return members[self._turn % len(members)]


#: By name; each set of addresses has a choice of its own.
CHOICES: Mapping[Balance, Callable[[], Choice]] = {
    Balance.AFFINITY: lambda: affinity,
    Balance.LEAST_BUSY: lambda: least_busy,
    Balance.ROUND_ROBIN: RoundRobin,
}
