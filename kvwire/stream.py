"""The parts of a cache stream as values: header, chunks, trailer. docs/wire-format.md is normative."""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from kvwire.model_card import ModelBinding, Rope
from kvwire.report import StageTiming
from kvwire.requests import AlignmentRule, FaultPolicy, Input, Method, RequestInfo

FRAME_VERSION = 1

# Loopback throughput peaks at 1 MiB per message; at 4 MiB the event loop stalls seven times longer (measured).
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ShareRequest:
    """What a receiver asks of a sharer. ``head`` is what the sharer reads first and keeps, in its own tokens.

    With an ``alignment`` slots are the receiver's tokens of the context: of ``prefix`` from ``first_slot_position``, of
    ``fuse`` those of messages' contents, and the sharer then opens as its own chat template does, whatever ``head`` is.
    ``question`` are the tokens of its prompt, only if the codec ranks by them; ``policy`` as in the exchange.
    """

    info: RequestInfo
    method: Method
    context: Input
    codec: str
    expected_sharer: ModelBinding
    receiver: ModelBinding
    fuser_fingerprint: bytes = b""
    head: tuple[int, ...] = ()
    needed_layers: tuple[int, ...] = ()
    on_fault: FaultPolicy = FaultPolicy.FAIL
    held_digests: tuple[bytes, ...] = ()
    held_table_digests: tuple[bytes, ...] = ()
    policy: str = ""
    question: tuple[int, ...] = ()
    first_slot_position: int = 0
    alignment: AlignmentRule = AlignmentRule.NONE


@dataclass(frozen=True)
class CacheHeader:
    """What the stream is and what it is bound to.

    ``source_tokens`` tokens were computed at consecutive positions from ``first_position`` unless ``position_deltas``
    says otherwise, and fill ``slots`` receiver slots from ``first_slot_position``, one each in order unless
    ``slot_source_deltas`` says otherwise. ``sent_layers`` is empty when all layers come. ``request_digest`` is the
    SHA-256 of the request as it arrived, so that nobody is answered what was not asked.
    """

    protocol_version: int
    frame_version: int
    request_id: str
    sharer: ModelBinding
    receiver_tokenizer_fingerprint: bytes
    fuser_fingerprint: bytes
    codec: str
    layers: int
    kv_heads: int
    head_dim: int
    ropes: tuple[Rope, ...]
    layer_ropes: tuple[int, ...]
    source_tokens: int
    first_position: int
    slots: int
    first_slot_position: int
    sent_layers: tuple[int, ...] = ()
    position_deltas: tuple[int, ...] = ()
    slot_source_deltas: tuple[int, ...] = ()
    table_digests: tuple[bytes, ...] = ()
    content_digest: bytes = b""
    request_digest: bytes = b""

    @property
    def expected_layers(self) -> tuple[int, ...]:
        """The layers that will come, in sending order."""
        return self.sent_layers or tuple(range(self.layers))

    @property
    def slot_sources(self) -> tuple[int, ...] | None:
        """The source token of each slot; None if they are the source tokens, one each in order."""
        return tuple(accumulate(self.slot_source_deltas, initial=-1))[1:] or None

    @property
    def values(self) -> int:
        """Numbers in keys and values before pruning."""
        return 2 * len(self.expected_layers) * self.kv_heads * self.source_tokens * self.head_dim


@dataclass(frozen=True)
class Frame:
    """One encoded layer. What tells that it came whole is computed once, however often it is sent."""

    layer: int
    data: bytes

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the data."""
        return hashlib.sha256(self.data).digest()

    @cached_property
    def checksums(self) -> tuple[int, ...]:
        """CRC-32 of each piece."""
        return tuple(zlib.crc32(piece) for piece in self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The data, in pieces that fit a chunk."""
        if len(self.data) <= CHUNK_BYTES:
            yield self.data
            return
        for offset in range(0, len(self.data), CHUNK_BYTES):
            yield self.data[offset : offset + CHUNK_BYTES]


@dataclass(frozen=True)
class CacheChunk:
    """A piece of one layer's frame: ``data`` stands at byte ``offset`` of a frame of ``frame_bytes``."""

    sequence: int
    layer: int
    frame_bytes: int
    offset: int
    data: bytes
    crc32: int


@dataclass(frozen=True)
class CacheTrailer:
    """Counts, timings, and the SHA-256 over the sealed header and every frame's SHA-256."""

    chunks: int
    frames: int
    payload_bytes: int
    values: int
    digest: bytes
    stages: tuple[StageTiming, ...]


class ChunkWriter:
    """Cuts frames into chunks and keeps the counts and the digest the trailer needs."""

    def __init__(self, sealed_header: bytes) -> None:
        self._digest = hashlib.sha256(sealed_header)
        self.chunks = 0
        self.frames = 0
        self.payload_bytes = 0

    def write(self, frame: Frame) -> Iterator[CacheChunk]:
        """Yield the chunks of one frame."""
        self._digest.update(frame.digest)
        self.frames += 1
        self.payload_bytes += len(frame.data)
        for index, (data, crc32) in enumerate(zip(frame.pieces(), frame.checksums, strict=True)):
            yield CacheChunk(self.chunks, frame.layer, len(frame.data), index * CHUNK_BYTES, data, crc32)
            self.chunks += 1

    def trailer(self, values: int, stages: tuple[StageTiming, ...]) -> CacheTrailer:
        """Close the stream."""
        return CacheTrailer(self.chunks, self.frames, self.payload_bytes, values, self._digest.digest(), stages)
