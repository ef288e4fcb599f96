"""Leaves out keys or values that no layer of the receiver takes, because every gate on them is closed."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from codec.bases import Base
from codec.mix import Part
from codec.quantize.base import Kind
from codec.quantize.omit import OMIT
from codec.spec import CodecSpec
from fuser.base import Fuser
from kvwire.errors import SpecError
from kvwire.stream import CacheHeader


def without_unused(spec: CodecSpec, fuser: Fuser, layers: Sequence[int]) -> CodecSpec:
    """The spec, with what the fuser does not take of these layers (ascending) left out; as it is if it mixes bases.

    Raises:
        SpecError: It leaves out something itself, which could be something that is needed.
    """
    if omits(spec):
        raise SpecError(f"codec spec {str(spec)!r}: what nobody takes is left out by itself; leave {OMIT} out of mix=")
    parts = [part for kind in Kind for part in _unused(fuser, kind, layers)]
    if spec.mix or not parts:
        return spec
    return CodecSpec.parse(f"{spec}+mix={'/'.join(map(str, parts))}")


def omits(spec: CodecSpec) -> bool:
    """Whether some of the cache is left out."""
    return any(part.base.name == OMIT for part in spec.mix)


def omitted_values(header: CacheHeader) -> int:
    """Numbers that a stream's codec leaves out of the layers that come."""
    half = header.kv_heads * header.source_tokens * header.head_dim
    spans = [part.layers for part in CodecSpec.parse(header.codec).mix if part.base.name == OMIT]
    return half * sum(first <= layer <= last for first, last in filter(None, spans) for layer in header.expected_layers)


def _unused(fuser: Fuser, kind: Kind, layers: Sequence[int]) -> Iterator[Part]:
    closed = [layer for layer in layers if kind not in fuser.halves(layer)]
    breaks = [at + 1 for at, (one, other) in enumerate(pairwise(closed)) if other != one + 1]
    for start, end in pairwise((0, *breaks, len(closed))):
        if end > start:
            yield Part(kind, (closed[start], closed[end - 1]), None, Base(OMIT))
