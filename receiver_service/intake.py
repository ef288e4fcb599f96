"""Verifies a cache stream part by part; nothing reaches the model that was not checked here."""

import hashlib
import zlib
from collections.abc import Iterator

from kvwire.errors import BindingError, DataLossError, SpoiledError, TooLargeError
from kvwire.model_card import ModelCard
from kvwire.requests import PROTOCOL_VERSION, AlignmentRule
from kvwire.rpc import share_request_serde
from kvwire.stream import CHUNK_BYTES, FRAME_VERSION, CacheChunk, CacheHeader, CacheTrailer, ShareRequest

# No codec spends more than fp32's 4 bytes on a value, nor more than this on a frame's own header.
_FRAME_OVERHEAD_BYTES = 64 * 1024


class Intake:
    """The receiving end of one stream. Call :meth:`header` once, :meth:`chunk` for each chunk, then :meth:`trailer`."""

    def __init__(self, request: ShareRequest, sharer: ModelCard, max_cache_bytes: int) -> None:
        self._request = request
        self._sharer = sharer
        self._max_cache_bytes = max_cache_bytes
        self._digest = hashlib.sha256()
        self._opened = False
        self._ended = False
        self._values = 0
        self._waiting: list[int] = []
        self._partial = bytearray()
        self._partial_layer = -1
        self._frame_bytes = 0
        self._chunks = 0
        self._frames = 0
        self._max_frame_bytes = 0
        self.payload_bytes = 0

    def header(self, data: bytes, header: CacheHeader) -> None:
        """Hold a header against the request and the sharer's card.

        Raises:
            BindingError: It is bound to something else than what was asked for.
            DataLossError: It is not the first one, or answers a request that was changed on the way.
            TooLargeError: The cache would be larger than this receiver takes.
        """
        if self._opened:
            raise DataLossError("a second header arrived in one stream; retry the call")
        self._check_request(header)
        for what, announced, wanted in self._bindings(header):
            if announced != wanted:
                raise BindingError(
                    f"the stream's {what} is {_shown(announced)}, but {_shown(wanted)} was expected; "
                    "sharer and receiver must run matching models, fusers and releases"
                )
        self._check_slots(header)
        largest = 4 * header.values + _FRAME_OVERHEAD_BYTES * len(header.expected_layers)
        if largest > self._max_cache_bytes:
            raise TooLargeError(
                f"a cache of {header.source_tokens} tokens takes up to {largest} bytes, this receiver accepts "
                f"{self._max_cache_bytes}; send less context or raise max_cache_bytes"
            )
        self._max_frame_bytes = 4 * header.values // len(header.expected_layers) + _FRAME_OVERHEAD_BYTES
        held = header.content_digest in self._request.held_digests
        self._waiting = [] if held else list(reversed(header.expected_layers))
        self._values = header.values
        self._digest.update(data)
        self._opened = True

    def _check_request(self, header: CacheHeader) -> None:
        """The sharer read what was sent, byte for byte."""
        if not header.request_digest:
            raise BindingError("the stream does not say what it answers; upgrade the sharer to this release of kvwire")
        if header.request_digest != (sent := share_request_serde.digest(self._request)):
            raise DataLossError(
                f"the stream answers request {_shown(header.request_digest)}, but {_shown(sent)} was sent; it was "
                "changed on the way to the sharer, retry the call"
            )

    def _check_slots(self, header: CacheHeader) -> None:
        """Every slot has a source token; without alignment they are the same."""
        if header.slots < 1:
            raise DataLossError("the stream announces no slots; retry the call")
        uneven = bool(header.slot_source_deltas) or header.slots != header.source_tokens
        if header.position_deltas or (uneven and self._request.alignment is AlignmentRule.NONE):
            raise BindingError(
                f"the stream maps {header.source_tokens} tokens to {header.slots} slots unevenly; "
                "this receiver places them one to one"
            )
        if not uneven:
            return
        sources = header.slot_sources or ()
        if len(sources) != header.slots or not 0 <= min(sources) <= max(sources) < header.source_tokens:
            raise DataLossError(
                f"the stream names {len(sources)} source tokens for {header.slots} slots, all must be of the "
                f"{header.source_tokens} that come; retry the call"
            )

    def chunk(self, chunk: CacheChunk) -> tuple[int, bytes] | None:
        """Take a chunk; return its layer and frame once that is whole.

        Raises:
            DataLossError: Something is missing, doubled, out of order, oversized or changed.
        """
        self._check_chunk(chunk)
        self._chunks += 1
        if chunk.offset == 0:
            self._partial_layer = self._waiting.pop()
            self._frame_bytes = chunk.frame_bytes
        frame = chunk.data
        if len(chunk.data) < chunk.frame_bytes:
            self._partial += chunk.data
            if len(self._partial) < chunk.frame_bytes:
                return None
            frame = bytes(self._partial)
            self._partial = bytearray()
        self._digest.update(hashlib.sha256(frame).digest())
        self._frames += 1
        self.payload_bytes += len(frame)
        return chunk.layer, frame

    def trailer(self, trailer: CacheTrailer) -> None:
        """Hold the trailer against everything that arrived.

        Raises:
            DataLossError: It is not the only one, or a layer is missing.
            SpoiledError: Counts or digest differ from what arrived.
        """
        if self._ended or not self._opened:
            raise DataLossError("a trailer arrived without a header, or after another trailer; retry the call")
        if self._waiting or self._partial:
            raise DataLossError(
                f"the stream ended with {len(self._waiting)} layers and {len(self._partial)} bytes of one outstanding; "
                "it was cut, retry the call"
            )
        arrived = (self._chunks, self._frames, self.payload_bytes, self._values)
        announced = (trailer.chunks, trailer.frames, trailer.payload_bytes, trailer.values)
        if arrived != announced:
            raise SpoiledError(
                f"chunks, frames, bytes and values announced {announced}, arrived {arrived}; retry the call"
            )
        if self._digest.digest() != trailer.digest:
            raise SpoiledError("the stream's digest differs from its content; it was changed on the way, retry")
        self._ended = True

    def _bindings(self, header: CacheHeader) -> Iterator[tuple[str, object, object]]:
        request, card = self._request, self._sharer
        wanted_layers = request.needed_layers or tuple(range(len(card.layers)))
        chats = request.alignment in (AlignmentRule.FIRST, AlignmentRule.LONGEST)
        yield from [
            ("protocol version", header.protocol_version, PROTOCOL_VERSION),
            ("frame version", header.frame_version, FRAME_VERSION),
            ("request id", header.request_id, request.info.request_id),
            ("sharer", header.sharer, request.expected_sharer),
            (
                "receiver tokenizer",
                header.receiver_tokenizer_fingerprint,
                request.receiver.tokenizer_fingerprint,
            ),
            ("fuser", header.fuser_fingerprint, request.fuser_fingerprint),
            ("codec", header.codec, header.codec if request.policy else request.codec),  # a policy's: Incoming.resolve
            ("calibration", b"".join(header.table_digests), b"".join(request.held_table_digests)),
            ("layer count", header.layers, len(card.layers)),
            ("kv head count", header.kv_heads, card.kv_heads),
            ("head_dim", header.head_dim, card.head_dim),
            ("RoPE parameters", header.ropes, card.ropes),
            ("RoPE of layers", header.layer_ropes, tuple(layer.rope for layer in card.layers)),
        ]
        yield from [  # made of so many layers as the header says, which is known to be right by now
            ("layers", header.expected_layers, wanted_layers),
            # A chat's opening is the sharer's own.
            ("first position", header.first_position, header.first_position if chats else len(request.head)),
            ("first slot position", header.first_slot_position, request.first_slot_position),
        ]

    def _check_chunk(self, chunk: CacheChunk) -> None:
        layer = self._partial_layer if self._partial else (self._waiting[-1] if self._waiting else None)
        if layer is None:
            raise DataLossError(f"chunk {chunk.sequence} arrived after the last layer, or before the header; retry")
        problems = [
            (chunk.sequence != self._chunks, f"it is numbered {chunk.sequence}, {self._chunks} was expected"),
            (chunk.layer != layer, f"it belongs to layer {chunk.layer}, layer {layer} was expected"),
            (chunk.offset != len(self._partial), f"it starts at {chunk.offset}, not at {len(self._partial)}"),
            (
                not 0 < len(chunk.data) <= CHUNK_BYTES,
                f"it has {len(chunk.data)} bytes, allowed are 1 to {CHUNK_BYTES}",
            ),
            (
                bool(self._partial) and chunk.frame_bytes != self._frame_bytes,
                f"its frame has {chunk.frame_bytes} bytes, {self._frame_bytes} were announced",
            ),
            (
                chunk.frame_bytes > self._max_frame_bytes,
                f"its frame of {chunk.frame_bytes} bytes is too large",
            ),
            (
                chunk.offset + len(chunk.data) > chunk.frame_bytes,
                f"it ends at {chunk.offset + len(chunk.data)}, its frame has {chunk.frame_bytes} bytes",
            ),
        ]
        for wrong, what in problems:
            if wrong:
                raise DataLossError(f"chunk {self._chunks} of the stream: {what}; retry the call")
        if zlib.crc32(chunk.data) != chunk.crc32:
            raise DataLossError(f"layer {chunk.layer}: a chunk of {len(chunk.data)} bytes has a wrong checksum; retry")


def _shown(value: object) -> str:
    return value.hex()[:12] or "empty" if isinstance(value, bytes) else str(value)[:120]
