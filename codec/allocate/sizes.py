"""What a frame will weigh, told from shapes alone: nothing is encoded, and the message may be no longer than said."""

import math
from dataclasses import dataclass

import torch

from codec import frame
from codec.bases import Base
from codec.entries import entry_bytes
from codec.frame import Frame
from codec.prune.keep import Keep
from codec.quantize.base import Context, Kind
from codec.spec import RopePhase
from codec.varint import varint
from kvwire.errors import SpecError


@dataclass(frozen=True)
class CacheShape:
    """Which layers are sent, and of what: ``tokens`` are those before pruning."""

    layers: tuple[int, ...]
    kv_heads: int
    head_dim: int
    tokens: int


def half_bytes(base: Base, kind: Kind, shape: CacheShape, keep: Keep | None) -> int:
    """The planes of any layer's keys or values with their entries; at most that, where the data may do without some.

    Raises:
        SpecError: The size depends on the data.
    """
    kept = keep.count(shape.tokens) if keep else shape.tokens
    # On the meta device positions take no memory; a layout looks at shapes alone.
    ctx = Context(shape.layers[0], kind, shape.kv_heads, kept, shape.head_dim, torch.empty(kept, device="meta"))
    total = 0
    for plane in base.quantizer().layout(ctx):
        dims = tuple(dim for dim in plane.dims if dim is not None)
        if len(dims) < len(plane.dims):
            raise SpecError(f"the bytes of {base} depend on what is coded; a budget needs codecs of a known size")
        total += entry_bytes(plane.name, dims) + math.prod(dims) * plane.dtype.itemsize
    return total


def header_bytes(spec_characters: int, layer: int, shape: CacheShape, keep: Keep | None) -> int:
    """All of a frame that is not planes; its selection at its longest."""
    bare = Frame("", layer, shape.kv_heads, shape.head_dim, shape.tokens, RopePhase.POST, None, (), ())
    spec = len(varint(spec_characters)) - 1 + spec_characters
    if keep is None:
        return len(frame.write(bare)) + spec
    rows = shape.kv_heads if keep.scope == "head" else 1
    selection = len(varint(keep.count(shape.tokens))) + rows * -(-shape.tokens // 8)
    return len(frame.write(bare)) + spec + selection
