"""Caches of contexts received before, so that what is here already is not sent again."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from kvwire.byte_budget import ByteBudget
from kvwire.requests import FaultPolicy, RequestInfo
from kvwire.stream import ShareRequest


@dataclass(frozen=True)
class PlacedLayer:
    """A layer as it was placed: keys and values ``(kv_heads, slots, head_dim)``, and the slots' positions."""

    layer: int
    keys: Tensor
    values: Tensor
    positions: Tensor

    @property
    def nbytes(self) -> int:
        """Of all three."""
        return self.keys.nbytes + self.values.nbytes + self.positions.nbytes


@dataclass(frozen=True)
class HeldCache:
    """A cache by the sharer's digest of its content, and what it took on the wire."""

    digest: bytes
    payload_bytes: int
    layers: tuple[PlacedLayer, ...]

    @property
    def nbytes(self) -> int:
        """Memory of all layers."""
        return sum(layer.nbytes for layer in self.layers)


#: Puts the layers of a held cache where the request wants them; on the compute thread.
Again = Callable[[HeldCache], None]


def content_key(request: ShareRequest) -> ShareRequest:
    """All of a request that decides what is placed where; callers never share, or one could time what another asked."""
    caller = RequestInfo(caller=request.info.caller)
    return replace(request, info=caller, held_digests=(), on_fault=FaultPolicy.FAIL)


HeldCaches = ByteBudget[ShareRequest, HeldCache]


def held_caches(max_bytes: int) -> HeldCaches:
    """By :func:`content_key`, within a budget."""
    return ByteBudget(max_bytes, lambda held: held.nbytes)
