"""A cache stream is verified part by part; anything changed, missing or foreign is refused."""

import dataclasses
import zlib

import pytest

from kvwire.errors import DataLossError, SpoiledError
from kvwire.requests import TokenIds
from kvwire.rpc import share_request_serde, stream_serde
from kvwire.stream import CHUNK_BYTES, CacheChunk, ChunkWriter, Frame
from kvwire.v1 import sharer_service_pb2
from receiver_service.intake import Intake
from tests.receiver_service.streams import CARD, FRAMES, HEADER, REQUEST, receive, stream


def test_an_unchanged_stream_gives_its_frames():
    """Layer by layer, byte by byte."""
    assert receive(stream()) == dict(enumerate(FRAMES))


def test_a_frame_larger_than_a_chunk_is_put_together():
    """Two and a half chunks."""
    large = bytes(range(256)) * (5 * CHUNK_BYTES // 512)
    header = dataclasses.replace(HEADER, source_tokens=400_000, slots=400_000)
    messages = stream(header, (large, b"b", b"c"))
    assert len(messages) == 2 + 3 + 2
    assert receive(messages, max_cache_bytes=1 << 30)[0] == large


@pytest.mark.parametrize("lost", range(5))
def test_a_missing_part_is_reported(lost):
    """Header, any chunk, or the trailer."""
    messages = stream()
    del messages[lost]
    with pytest.raises(DataLossError):
        receive(messages)


@pytest.mark.parametrize("twice", range(4))
def test_a_doubled_part_is_reported(twice):
    """Also a second header."""
    messages = stream()
    messages.insert(twice, messages[twice])
    with pytest.raises(DataLossError):
        receive(messages)


def test_chunks_out_of_order_are_reported():
    """Sequence numbers tell."""
    messages = stream()
    messages[1], messages[2] = messages[2], messages[1]
    with pytest.raises(DataLossError, match="was expected"):
        receive(messages)


HELD = dataclasses.replace(REQUEST, held_digests=(b"h" * 32,))
HELD_HEADER = dataclasses.replace(HEADER, content_digest=b"h" * 32, request_digest=share_request_serde.digest(HELD))


@pytest.mark.parametrize("more", range(5))
def test_whatever_comes_behind_the_trailer_is_reported(more):
    """Header, any chunk, or the trailer again."""
    messages = stream()
    with pytest.raises(DataLossError):
        receive([*messages, messages[more]])


@pytest.mark.parametrize("more", range(2))
def test_nothing_comes_behind_the_trailer_of_a_held_cache_either(more):
    """A second header would say where the first one's layers go."""
    messages = stream(HELD_HEADER, ())
    assert receive(messages, request=HELD) == {}
    with pytest.raises(DataLossError):
        receive([*messages, messages[more]], request=HELD)


def test_a_trailer_without_a_header_is_reported():
    """Even one that is right about nothing."""
    nothing = ChunkWriter(b"").trailer(0, ())
    with pytest.raises(
        DataLossError, match=r"^a trailer arrived without a header, or after another trailer; retry the call$"
    ):
        receive([stream_serde.sealed_trailer(nothing).SerializeToString()])


def test_a_trailer_that_counts_other_values_is_reported():
    """A report's bits per value are over them."""
    sealed = stream_serde.header_bytes(HEADER)
    writer = ChunkWriter(sealed)
    chunks = [chunk for layer, data in enumerate(FRAMES) for chunk in writer.write(Frame(layer, data))]
    trailer = stream_serde.sealed_trailer(writer.trailer(HEADER.values + 1, ())).SerializeToString()
    with pytest.raises(DataLossError, match="values announced"):
        receive(
            [stream_serde.sealed_header(sealed).SerializeToString(), *map(stream_serde.chunk_message, chunks), trailer]
        )


def test_chunks_of_one_frame_agree_on_its_length():
    """A later one cannot stretch or shorten it."""
    intake = Intake(REQUEST, CARD, 1 << 20)
    intake.header(stream_serde.header_bytes(HEADER), HEADER)
    assert intake.chunk(CacheChunk(0, 0, 10, 0, b"12345", zlib.crc32(b"12345"))) is None
    with pytest.raises(DataLossError, match="its frame has 9 bytes, 10 were announced"):
        intake.chunk(CacheChunk(1, 0, 9, 5, b"6789", zlib.crc32(b"6789")))


def chunk(data, *, sequence=0, layer=0, frame_bytes=10, offset=0, crc32=None):
    return CacheChunk(sequence, layer, frame_bytes, offset, data, zlib.crc32(data) if crc32 is None else crc32)


FIRST = chunk(b"12345")


@pytest.mark.parametrize(
    ("before", "wrong", "says"),
    [
        ([], chunk(b"12345", sequence=1), "chunk 0 of the stream: it is numbered 1, 0 was expected"),
        ([], chunk(b"12345", layer=1), "chunk 0 of the stream: it belongs to layer 1, layer 0 was expected"),
        ([], chunk(b"12345", offset=5), "chunk 0 of the stream: it starts at 5, not at 0"),
        ([FIRST], chunk(b"12345", sequence=1, layer=1, offset=5), "chunk 1 .* to layer 1, layer 0 was expected"),
        ([FIRST], chunk(b"12345", sequence=1), "chunk 1 of the stream: it starts at 0, not at 5"),
        ([], chunk(b""), "chunk 0 of the stream: it has 0 bytes, allowed are 1 to 1048576"),
        ([], chunk(b"12345", frame_bytes=4), "chunk 0 of the stream: it ends at 5, its frame has 4 bytes"),
        ([FIRST], chunk(b"123456", sequence=1, offset=5), "chunk 1 of the stream: it ends at 11, its frame has 10"),
        ([], chunk(b"12345", crc32=1), "layer 0: a chunk of 5 bytes has a wrong checksum"),
    ],
)
def test_a_chunk_that_cannot_be_the_next_is_told_by_what_is_wrong_with_it(before, wrong, says):
    """Its number, its layer, its place, its size or its checksum; each calls for another look."""
    intake = Intake(REQUEST, CARD, 1 << 20)
    intake.header(stream_serde.header_bytes(HEADER), HEADER)
    for each in before:
        intake.chunk(each)
    with pytest.raises(DataLossError, match=f"^{says}.*; retry"):
        intake.chunk(wrong)


@pytest.mark.parametrize(
    ("more", "says"), [(0, None), (1, "^chunk 0 .* has 1048577 bytes, allowed are 1 to 1048576; r")]
)
def test_a_chunk_is_a_mebibyte_at_most(more, says):
    """So much may wait in memory unchecked."""
    header = dataclasses.replace(HEADER, source_tokens=400_000, slots=400_000)
    intake = Intake(REQUEST, CARD, 1 << 30)
    intake.header(stream_serde.header_bytes(header), header)
    data = bytes(CHUNK_BYTES + more)
    if says is None:
        assert intake.chunk(chunk(data, frame_bytes=len(data))) == (0, data)
        return
    with pytest.raises(DataLossError, match=says):
        intake.chunk(chunk(data, frame_bytes=len(data)))


def test_a_chunk_that_nothing_waits_for_is_told_by_its_number():
    """Before the header, or after the last layer."""
    with pytest.raises(DataLossError, match=r"^chunk 7 arrived after the last layer, or before the header; retry$"):
        Intake(REQUEST, CARD, 1 << 20).chunk(chunk(b"12345", sequence=7))


def test_a_stream_that_ends_early_is_told_with_what_is_outstanding():
    """Two layers, and half of a third."""
    intake = Intake(REQUEST, CARD, 1 << 20)
    intake.header(stream_serde.header_bytes(HEADER), HEADER)
    intake.chunk(FIRST)
    says = "^the stream ended with 2 layers and 5 bytes of one outstanding; it was cut, retry the call$"
    with pytest.raises(DataLossError, match=says):
        intake.trailer(ChunkWriter(b"").trailer(0, ()))


def test_a_stream_that_ends_between_two_layers_was_cut_not_spoiled():
    """The layers that came can be used."""
    intake = Intake(REQUEST, CARD, 1 << 20)
    intake.header(stream_serde.header_bytes(HEADER), HEADER)
    intake.chunk(chunk(b"abc", frame_bytes=3))
    with pytest.raises(DataLossError, match=r"^the stream ended with 2 layers and 0 bytes of one outstanding"):
        intake.trailer(ChunkWriter(b"").trailer(0, ()))


def test_what_a_stream_took_is_its_frames_without_what_they_are_wrapped_in():
    """As it goes into the report."""
    intake = Intake(REQUEST, CARD, 1 << 20)
    intake.header(stream_serde.header_bytes(HEADER), HEADER)
    intake.chunk(FIRST)
    assert intake.payload_bytes == 0
    intake.chunk(chunk(b"67890", sequence=1, offset=5))
    intake.chunk(chunk(b"abc", sequence=2, layer=1, frame_bytes=3))
    assert intake.payload_bytes == 13


def test_an_answer_to_what_was_not_asked_is_reported():
    """One word of the context changed on its way to the sharer, and all that comes back is whole."""
    asked = dataclasses.replace(REQUEST, context=TokenIds((1, 3)))
    with pytest.raises(DataLossError, match="changed on the way to the sharer"):
        receive(stream(), request=asked)


OTHER = dataclasses.replace(HEADER, content_digest=b"o" * 32)


@pytest.mark.parametrize("part", range(5))
def test_a_part_of_another_stream_is_reported(part):
    """Of the same request id, geometry and sizes, whole and sealed as it is: other numbers under the same names."""
    messages, others = stream(), stream(OTHER, [frame.swapcase() for frame in FRAMES])
    messages[part] = others[part]
    with pytest.raises(DataLossError):
        receive(messages)


def test_what_does_not_parse_is_data_loss():
    """For which gRPC hands on None."""
    with pytest.raises(DataLossError, match="does not parse"):
        stream_serde.part_from_proto(None)
    with pytest.raises(DataLossError, match="does not parse"):
        share_request_serde.from_bytes(b"\xff")


@pytest.mark.parametrize("part", ["header", "trailer"])
def test_a_seal_around_nothing_is_data_loss(part):
    """The checksum of nothing is 0, as is one that is not there."""
    empty = sharer_service_pb2.ShareResponse()
    getattr(empty, part).SetInParent()
    with pytest.raises(DataLossError, match=f"{part} arrived with a wrong checksum"):
        stream_serde.part_from_proto(empty)


COUNTS = "chunks, frames, bytes and values announced"
DIGESTS = "the stream's digest differs from its content; it was changed on the way, retry$"


@pytest.mark.parametrize(
    ("change", "says"), [({"digest": b"x" * 32}, DIGESTS), ({"payload_bytes": 1}, COUNTS), ({"chunks": 9}, COUNTS)]
)
def test_a_trailer_that_fits_no_part_spoils_the_whole_stream(change, says):
    """Each chunk was right by its checksum, so nobody can tell which one is not: none may be used."""
    intake = Intake(REQUEST, CARD, 1 << 30)
    messages = map(sharer_service_pb2.ShareResponse.FromString, stream())
    header, *chunks, trailer = map(stream_serde.part_from_proto, messages)
    intake.header(header, stream_serde.header_from_bytes(header))
    for chunk in chunks:
        intake.chunk(chunk)
    with pytest.raises(SpoiledError, match=f"^{says}"):
        intake.trailer(dataclasses.replace(trailer, **change))
