"""Caches of contexts read before, so that another codec of the same context costs no second prefill."""

from dataclasses import dataclass

from kvwire.byte_budget import ByteBudget
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


KeptCaches = ByteBudget[ContextKey, tuple[Layer, ...]]


def kept_caches(max_bytes: int) -> KeptCaches:
    """All layers of each context, within a budget."""
    return ByteBudget(max_bytes, lambda layers: sum(keys.nbytes + values.nbytes for _, keys, values, _ in layers))
