"""The cache stream: protobuf to values and back. Headers and trailers travel sealed with a CRC."""

import zlib

from kvwire.errors import DataLossError
from kvwire.rpc.answer_serde import stages_from_proto, stages_to_proto
from kvwire.rpc.model_serde import binding_from_proto, binding_to_proto, rope_from_proto, rope_to_proto
from kvwire.rpc.parsed import parsed
from kvwire.stream import CacheChunk, CacheHeader, CacheTrailer
from kvwire.v1 import cache_pb2, sharer_service_pb2

# Field number and the kind of fields that have a length (2), as protobuf writes them before a field.
_DATA_TAG = bytes([cache_pb2.CacheChunk.DATA_FIELD_NUMBER << 3 | 2])
_CHUNK_TAG = bytes([sharer_service_pb2.ShareResponse.CHUNK_FIELD_NUMBER << 3 | 2])


def header_bytes(header: CacheHeader) -> bytes:
    """Serialize a header once; these bytes are sealed, sent and digested."""
    return cache_pb2.CacheHeader(
        protocol_version=header.protocol_version,
        frame_version=header.frame_version,
        request_id=header.request_id,
        sharer=binding_to_proto(header.sharer),
        receiver_tokenizer_fingerprint=header.receiver_tokenizer_fingerprint,
        fuser_fingerprint=header.fuser_fingerprint,
        codec=header.codec,
        table_digests=header.table_digests,
        layers=header.layers,
        kv_heads=header.kv_heads,
        head_dim=header.head_dim,
        ropes=[rope_to_proto(r) for r in header.ropes],
        layer_ropes=header.layer_ropes,
        sent_layers=header.sent_layers,
        source_tokens=header.source_tokens,
        first_position=header.first_position,
        position_deltas=header.position_deltas,
        slots=header.slots,
        first_slot_position=header.first_slot_position,
        slot_source_deltas=header.slot_source_deltas,
        content_digest=header.content_digest,
        request_digest=header.request_digest,
    ).SerializeToString(deterministic=True)


def header_from_bytes(data: bytes) -> CacheHeader:
    """Read a header.

    Raises:
        DataLossError: The bytes are not a header.
    """
    message = parsed(cache_pb2.CacheHeader, data, "the stream's header")
    return CacheHeader(
        protocol_version=message.protocol_version,
        frame_version=message.frame_version,
        request_id=message.request_id,
        sharer=binding_from_proto(message.sharer),
        receiver_tokenizer_fingerprint=message.receiver_tokenizer_fingerprint,
        fuser_fingerprint=message.fuser_fingerprint,
        codec=message.codec,
        layers=message.layers,
        kv_heads=message.kv_heads,
        head_dim=message.head_dim,
        ropes=tuple(rope_from_proto(r) for r in message.ropes),
        layer_ropes=tuple(message.layer_ropes),
        source_tokens=message.source_tokens,
        first_position=message.first_position,
        slots=message.slots,
        first_slot_position=message.first_slot_position,
        sent_layers=tuple(message.sent_layers),
        position_deltas=tuple(message.position_deltas),
        slot_source_deltas=tuple(message.slot_source_deltas),
        table_digests=tuple(message.table_digests),
        content_digest=message.content_digest,
        request_digest=message.request_digest,
    )


def sealed_header(data: bytes) -> sharer_service_pb2.ShareResponse:
    """The first message of a stream."""
    return sharer_service_pb2.ShareResponse(
        header=cache_pb2.SealedHeader(header=data, crc32=zlib.crc32(data)),
    )


def chunk_message(chunk: CacheChunk) -> bytes:
    """A serialized ``ShareResponse`` with one piece of a frame.

    The only copy of the data between codec and gRPC is made here: protobuf would copy it into a message and out again.
    A message's fields may come in any order, so the data are put behind the others.
    """
    others = cache_pb2.CacheChunk(**(vars(chunk) | {"data": b""})).SerializeToString()
    begin = others + _DATA_TAG + _varint(len(chunk.data))
    return b"".join((_CHUNK_TAG, _varint(len(begin) + len(chunk.data)), begin, chunk.data))


def serialized(message: sharer_service_pb2.ShareResponse | bytes) -> bytes:
    """A part of a stream as it is sent; a chunk's is serialized already."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def _varint(number: int) -> bytes:
    """As protobuf writes lengths: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004  # seven bits
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def sealed_trailer(trailer: CacheTrailer) -> sharer_service_pb2.ShareResponse:
    """The last message of a stream."""
    data = cache_pb2.CacheTrailer(
        chunks=trailer.chunks,
        frames=trailer.frames,
        payload_bytes=trailer.payload_bytes,
        values=trailer.values,
        digest=trailer.digest,
        stages=stages_to_proto(trailer.stages),
    ).SerializeToString(deterministic=True)
    return sharer_service_pb2.ShareResponse(
        trailer=cache_pb2.SealedTrailer(trailer=data, crc32=zlib.crc32(data)),
    )


def part_from_proto(message: sharer_service_pb2.ShareResponse | None) -> bytes | CacheChunk | CacheTrailer:
    """One part of a stream, seal checked: the header as its bytes, a chunk, or the trailer.

    Raises:
        DataLossError: It does not parse, which gRPC tells as None, its seal does not match, or it is of no known kind.
    """
    if message is None:
        raise DataLossError("a part of the stream does not parse; it was changed on the way, retry the call")
    match message.WhichOneof("part"):
        case "header":
            return _unseal(message.header.header, message.header.crc32, "header")
        case "chunk":
            c = message.chunk
            return CacheChunk(c.sequence, c.layer, c.frame_bytes, c.offset, c.data, c.crc32)
        case "trailer":
            return _trailer(_unseal(message.trailer.trailer, message.trailer.crc32, "trailer"))
        case _:
            raise DataLossError("a stream part is neither header, chunk nor trailer; the sharer speaks another version")


def _trailer(data: bytes) -> CacheTrailer:
    message = parsed(cache_pb2.CacheTrailer, data, "the stream's trailer")
    return CacheTrailer(
        chunks=message.chunks,
        frames=message.frames,
        payload_bytes=message.payload_bytes,
        values=message.values,
        digest=message.digest,
        stages=stages_from_proto(list(message.stages)),
    )


def _unseal(data: bytes, crc32: int, what: str) -> bytes:
    if not data or zlib.crc32(data) != crc32:  # of nothing it is 0, which is also what is not there
        raise DataLossError(f"the stream's {what} arrived with a wrong checksum; it was changed on the way, retry")
    return data
