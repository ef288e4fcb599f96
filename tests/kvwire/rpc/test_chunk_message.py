"""Chunks are written by hand, so that their data are copied once; any reader of protobuf must read them."""

from hypothesis import given
from hypothesis import strategies as st

from kvwire.rpc.stream_serde import chunk_message
from kvwire.stream import CHUNK_BYTES, CacheChunk
from kvwire.v1 import cache_pb2, sharer_service_pb2

NUMBERS = st.integers(0, 2**32 - 1)
# Lengths about which a varint grows by a byte, and the longest there is.
LENGTHS = st.sampled_from([0, 1, 100, 127, 128, 16383, 16384, CHUNK_BYTES])


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, LENGTHS, NUMBERS)
def test_protobuf_reads_what_was_written_and_would_take_as_many_bytes(
    sequence, layer, frame_bytes, offset, length, crc
):
    """Every field, at any value."""
    chunk = CacheChunk(sequence, layer, frame_bytes, offset, b"\xab" * length, crc)
    message = chunk_message(chunk)
    expected = sharer_service_pb2.ShareResponse(chunk=cache_pb2.CacheChunk(**vars(chunk)))
    assert sharer_service_pb2.ShareResponse.FromString(message) == expected
    assert len(message) == expected.ByteSize() or length == 0
