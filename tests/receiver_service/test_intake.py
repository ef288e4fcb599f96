"""A cache stream is verified part by part; anything changed, missing or foreign is refused."""

import dataclasses
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import BindingError, DataLossError, OverloadedError, SpoiledError
from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope
from kvwire.requests import AlignmentRule, Method, RequestInfo, TokenIds
from kvwire.rpc import share_request_serde, stream_serde
from kvwire.stream import CHUNK_BYTES, CacheChunk, CacheHeader, ChunkWriter, Frame, ShareRequest
from kvwire.v1 import sharer_service_pb2
from receiver_service.intake import Intake

BINDING = ModelBinding("tiny", "1", b"w" * 32, b"t" * 32)
ROPE = Rope("default", (1.0, 0.5), 1.0)
CARD = ModelCard(BINDING, "llama", "", "float32", "cpu", 1, 4, 512, 2048, (ROPE,), (LayerCard(0, 0),) * 3)
REQUEST = ShareRequest(
    RequestInfo("r1"),
    Method.PREFIX,
    TokenIds((1, 2)),
    "fp32",
    expected_sharer=BINDING,
    receiver=BINDING,
    head=(9,),
    first_slot_position=1,
)
DIGEST = share_request_serde.digest(REQUEST)
HEADER = CacheHeader(
    protocol_version=1,
    frame_version=1,
    request_id="r1",
    sharer=BINDING,
    receiver_tokenizer_fingerprint=b"t" * 32,
    fuser_fingerprint=b"",
    codec="fp32",
    layers=3,
    kv_heads=1,
    head_dim=4,
    ropes=(ROPE,),
    layer_ropes=(0, 0, 0),
    source_tokens=2,
    first_position=1,
    slots=2,
    first_slot_position=1,
    request_digest=DIGEST,
)
FRAMES = (b"first layer", b"second layer's frame", b"third")


def stream(header=HEADER, frames=FRAMES):
    """A whole stream as serialized messages."""
    sealed = stream_serde.header_bytes(header)
    writer = ChunkWriter(sealed)
    parts = [stream_serde.sealed_header(sealed)]
    for layer, frame in enumerate(frames):
        chunks = map(stream_serde.chunk_message, writer.write(Frame(layer, frame)))
        parts += map(sharer_service_pb2.ShareResponse.FromString, chunks)
    parts.append(stream_serde.sealed_trailer(writer.trailer(header.values, ())))
    return [part.SerializeToString() for part in parts]


def receive(messages, max_cache_bytes=1 << 20, request=REQUEST):
    """What a receiver makes of serialized messages: the frames by layer, or an error."""
    intake = Intake(request, CARD, max_cache_bytes)
    frames, ended = {}, False
    for message in messages:
        part = stream_serde.part_from_proto(sharer_service_pb2.ShareResponse.FromString(message))
        if isinstance(part, bytes):
            intake.accept_header(part, stream_serde.header_from_bytes(part))
        elif hasattr(part, "digest"):
            intake.trailer(part)
            ended = True
        elif (whole := intake.chunk(part)) is not None:
            frames[whole[0]] = whole[1]
    if not ended:
        raise DataLossError("no trailer")
    return frames


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
    with pytest.raises(DataLossError, match="without a header"):
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
    intake.accept_header(stream_serde.header_bytes(HEADER), HEADER)
    assert intake.chunk(CacheChunk(0, 0, 10, 0, b"12345", zlib.crc32(b"12345"))) is None
    with pytest.raises(DataLossError, match="its frame has 9 bytes, 10 were announced"):
        intake.chunk(CacheChunk(1, 0, 9, 5, b"6789", zlib.crc32(b"6789")))


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


FOREIGN = {
    "protocol_version": 2,
    "frame_version": 2,
    "request_id": "r2",
    "sharer": dataclasses.replace(BINDING, weights_fingerprint=b"x" * 32),
    "receiver_tokenizer_fingerprint": b"x" * 32,
    "fuser_fingerprint": b"x" * 32,
    "codec": "int8",
    "layers": 4,
    "kv_heads": 2,
    "head_dim": 8,
    "ropes": (Rope("default", (1.0, 0.25), 1.0),),
    "layer_ropes": (0, 0),
    "sent_layers": (0, 2),
    "first_position": 0,
    "first_slot_position": 0,
    "slots": 3,
    "slot_source_deltas": (1, 0),
    "position_deltas": (2,),
    "request_digest": b"",
}


@pytest.mark.parametrize("field", FOREIGN)
def test_a_header_bound_to_something_else_is_refused(field):
    """Every binding is held against what was asked for."""
    with pytest.raises(BindingError):
        receive(stream(dataclasses.replace(HEADER, **{field: FOREIGN[field]})))


def test_a_header_of_any_number_of_layers_costs_nothing():
    """It is refused by its number; fuzzing found that the numbers of all layers were written out first."""
    header = stream(dataclasses.replace(HEADER, layers=1_000_000))[:1]
    tracemalloc.start()
    with pytest.raises(BindingError, match="layer count is 1000000"):
        receive(header)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_cache_beyond_the_limit_is_refused_before_it_comes():
    """From the header alone."""
    header = dataclasses.replace(HEADER, source_tokens=100_000, slots=100_000)
    with pytest.raises(OverloadedError, match="accepts 1048576"):
        receive(stream(header)[:1])


def test_a_frame_beyond_what_its_header_allows_is_refused():
    """At its first chunk, before it is put together."""
    with pytest.raises(DataLossError, match="too large"):
        receive(stream(frames=(b"x" * 100_000, b"b", b"c")))


def test_a_seal_is_a_crc_of_what_it_seals():
    """IEEE CRC-32, as the document says."""
    part = stream_serde.sealed_header(b"header")
    assert part.header.crc32 == zlib.crc32(b"header")


def test_other_tables_than_the_receivers_are_refused():
    """Both sides must hold the same calibration file."""
    header = dataclasses.replace(HEADER, table_digests=(b"\1" * 32,))
    with pytest.raises(BindingError, match="calibration is 010101010101, but empty was expected"):
        receive(stream(header, FRAMES))


def uneven(slots, *deltas):
    """A header that maps its two tokens to slots."""
    return dataclasses.replace(HEADER, slots=slots, slot_source_deltas=deltas)


def accepted(header, alignment):
    """Hold a header against a request for aligned slots, or for none."""
    request = dataclasses.replace(REQUEST, alignment=alignment)
    header = dataclasses.replace(header, request_digest=share_request_serde.digest(request))
    data = stream_serde.header_bytes(header)
    intake = Intake(request, CARD, 1 << 20)
    intake.accept_header(data, stream_serde.header_from_bytes(data))


def test_aligned_slots_name_their_source_tokens():
    """Three slots of two tokens."""
    accepted(header := uneven(3, 1, 0, 1), AlignmentRule.CHARACTERS)
    assert header.slot_sources == (0, 0, 1)


def test_an_uneven_map_that_was_not_asked_for_is_refused():
    """Slots would be placed where nobody expects them."""
    with pytest.raises(BindingError, match="unevenly"):
        accepted(uneven(3, 1, 0, 1), AlignmentRule.NONE)


@given(slots=st.integers(0, 5), deltas=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6))
def test_a_map_beyond_the_tokens_that_come_is_refused(slots, deltas):
    """Whatever it holds: each slot has one source token, and that one comes."""
    header = uneven(slots, *deltas)
    sources = header.slot_sources or tuple(range(slots))
    if len(sources) == slots and sources and set(sources) <= {0, 1} and (deltas or slots == 2):
        accepted(header, AlignmentRule.CHARACTERS)
        return
    with pytest.raises(DataLossError):
        accepted(header, AlignmentRule.CHARACTERS)


@pytest.mark.parametrize("change", [{"digest": b"x" * 32}, {"payload_bytes": 1}, {"chunks": 9}])
def test_a_trailer_that_fits_no_part_spoils_the_whole_stream(change):
    """Each chunk was right by its checksum, so nobody can tell which one is not: none may be used."""
    intake = Intake(REQUEST, CARD, 1 << 30)
    messages = map(sharer_service_pb2.ShareResponse.FromString, stream())
    header, *chunks, trailer = map(stream_serde.part_from_proto, messages)
    intake.accept_header(header, stream_serde.header_from_bytes(header))
    for chunk in chunks:
        intake.chunk(chunk)
    with pytest.raises(SpoiledError):
        intake.trailer(dataclasses.replace(trailer, **change))
