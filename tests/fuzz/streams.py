"""Share streams of any parts, to the receiver's own code: whatever comes is refused, or is what was announced.

An input is parts, each a byte that says what it is, two that say its length, and that many bytes: a header, a chunk or
a trailer, which get the right checksums, digests and seals, or a message as it is.
"""

import hashlib
import zlib
from collections.abc import Iterator

from codec import frame
from kvwire.v1 import cache_pb2
from kvwire.v1 import sharer_service_pb2 as pb
from tests.integrity.share_streams import CARD, Pair

_HEADER, _CHUNK, _TRAILER, _KINDS = 0, 1, 2, 4
_PAIR = Pair("nf4+keep=0.5,by=random,scope=head", chunk_bytes=150)
_CRC = slice(4, 8)


def seeds() -> Iterator[bytes]:
    """A good stream, in chunks and whole; its own seals are taken off."""
    for pair in (_PAIR, Pair("nf4+keep=0.5,by=random,scope=head")):
        parts = []
        for message in pair.messages():
            part = pb.ShareResponse.FromString(message)
            match part.WhichOneof("part"):
                case "header":
                    parts.append((_HEADER, part.header.header))
                case "chunk":
                    parts.append((_CHUNK, part.chunk.SerializeToString()))
                case _:
                    parts.append((_TRAILER, part.trailer.trailer))
        yield b"".join(bytes([kind]) + len(data).to_bytes(2, "little") + data for kind, data in parts)


def run(data: bytes) -> None:
    """One run: what is received is the cache that was asked for, whole."""
    arrived = _PAIR.receive(list(_sealed(data)))
    assert sorted(arrived.layers) == list(range(len(CARD.layers)))
    for layer, kv in arrived.layers.items():
        assert (kv.layer, kv.tokens) == (layer, arrived.received.header.source_tokens)
        assert kv.keys.shape == kv.values.shape
        assert kv.keys.shape[::2] == (CARD.kv_heads, CARD.head_dim)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 3 <= len(data):
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "little")
        yield data[at] % _KINDS, data[at + 3 : end]
        at = end


def _sealed(data: bytes) -> Iterator[bytes]:
    """The messages, as a sharer without any care for what it says would seal them."""
    digest, partial = hashlib.sha256(), bytearray()
    for kind, part in _parts(data):
        if kind == _HEADER:
            digest.update(part)
            header = cache_pb2.SealedHeader(header=part, crc32=zlib.crc32(part))
            yield pb.ShareResponse(header=header).SerializeToString()
        elif kind == _CHUNK:
            chunk = cache_pb2.CacheChunk.FromString(part)
            if chunk.frame_bytes == len(chunk.data):
                chunk.data = _right(chunk.data)
            chunk.crc32 = zlib.crc32(chunk.data)
            partial += chunk.data
            if len(partial) >= chunk.frame_bytes:
                digest.update(hashlib.sha256(partial).digest())
                partial.clear()
            yield pb.ShareResponse(chunk=chunk).SerializeToString()
        elif kind == _TRAILER:
            trailer = cache_pb2.CacheTrailer.FromString(part)
            trailer.digest = digest.digest()
            sealed = trailer.SerializeToString()
            yield pb.ShareResponse(
                trailer=cache_pb2.SealedTrailer(trailer=sealed, crc32=zlib.crc32(sealed))
            ).SerializeToString()
        else:
            yield part


def _right(data: bytes) -> bytes:
    """A frame with its own checksum right."""
    if not data.startswith(frame.MAGIC):
        return data
    return data[: _CRC.start] + zlib.crc32(data[_CRC.stop :]).to_bytes(4, "little") + data[_CRC.stop :]
