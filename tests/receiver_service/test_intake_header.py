"""A header is held against what was asked for before anything behind it is taken."""

import dataclasses
import tracemalloc
import zlib

import pytest

from kvwire.errors import BindingError, DataLossError, OverloadedError
from kvwire.model_card import Rope
from kvwire.requests import AlignmentRule
from kvwire.rpc import stream_serde
from tests.receiver_service.streams import BINDING, DIGEST, FRAMES, HEADER, REQUEST, accepted, receive, stream

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


#: Field -> what an error calls it, where that is not how the field is called.
CALLED = {
    "fuser_fingerprint": "fuser",
    "head_dim": "head_dim",
    "kv_heads": "kv head count",
    "layer_ropes": "RoPE of layers",
    "layers": "layer count",
    "receiver_tokenizer_fingerprint": "receiver tokenizer",
    "ropes": "RoPE parameters",
    "sent_layers": "layers",
}


@pytest.mark.parametrize("field", [*CALLED, "codec", "protocol_version", "frame_version", "request_id", "sharer"])
def test_a_foreign_binding_is_named(field):
    """With what to do."""
    what = CALLED.get(field, field.replace("_", " "))
    says = f"^the stream's {what} is .*, but .* was expected; sharer and receiver must run matching models, fusers and"
    with pytest.raises(BindingError, match=says):
        receive(stream(dataclasses.replace(HEADER, **{field: FOREIGN[field]})))


def test_a_binding_is_shown_by_what_tells_two_apart():
    """Six bytes of a fingerprint, or that there is none."""
    header = dataclasses.replace(HEADER, fuser_fingerprint=b"\x01\x23\x45\x67\x89\xab\xcd")
    with pytest.raises(BindingError, match="fuser is 0123456789ab, but empty was expected"):
        receive(stream(header))


def test_a_request_that_was_changed_on_the_way_is_shown_by_both_digests():
    """The one that was answered, and the one that was sent."""
    header = dataclasses.replace(HEADER, request_digest=b"\0" * 32)
    says = (
        f"^the stream answers request 000000000000, but {DIGEST.hex()[:12]} was sent; it was changed on the way to the"
    )
    with pytest.raises(DataLossError, match=says):
        receive(stream(header))


def test_a_header_that_does_not_say_what_it_answers_is_of_an_older_sharer():
    """Which is to be upgraded."""
    with pytest.raises(BindingError, match=r"^the stream does not say what it answers; upgrade the sharer to this"):
        receive(stream(dataclasses.replace(HEADER, request_digest=b"")))


def test_a_second_header_is_told_as_one():
    """Not as a chunk out of order."""
    messages = stream()
    with pytest.raises(DataLossError, match=r"^a second header arrived in one stream; retry the call$"):
        receive([messages[0], messages[0]])


def test_a_header_of_any_number_of_layers_costs_nothing():
    """It is refused by its number; fuzzing found that the numbers of all layers were written out first."""
    header = stream(dataclasses.replace(HEADER, layers=1_000_000))[:1]
    tracemalloc.start()
    with pytest.raises(BindingError, match="layer count is 1000000"):
        receive(header)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_cache_beyond_the_limit_is_refused_before_it_comes():
    """From the header alone: 48 numbers of four bytes in three layers, and 64 KiB for each layer's own header."""
    most = 4 * 48 + 3 * 64 * 1024
    assert receive(stream(), max_cache_bytes=most)
    with pytest.raises(
        OverloadedError, match=f"^a cache of 2 tokens takes up to {most} bytes.* accepts {most - 1}; send"
    ):
        receive(stream()[:1], max_cache_bytes=most - 1)


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_frame_may_take_four_bytes_a_number_and_a_header(more, refused):
    """Of two tokens of four numbers, keys and values: 64 KiB and 64 bytes."""
    frame = bytes(64 * 1024 + 64 + more)
    if not refused:
        assert receive(stream(frames=(frame, b"b", b"c")))[0] == frame
        return
    with pytest.raises(
        DataLossError, match=f"^chunk 0 of the stream: its frame of {len(frame)} bytes is too large; retry"
    ):
        receive(stream(frames=(frame, b"b", b"c")))


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


def test_the_receivers_own_tables_are_taken():
    """Keys' and values' digests in a row."""
    digests = (b"\1" * 32, b"\2" * 32)
    request = dataclasses.replace(REQUEST, held_table_digests=digests)
    accepted(dataclasses.replace(HEADER, table_digests=digests), request)


def test_a_policy_leaves_the_codec_to_the_sharer():
    """What it came to is looked at when frames are to be read."""
    accepted(dataclasses.replace(HEADER, codec="int8"), dataclasses.replace(REQUEST, policy="budget=1"))


def test_the_layers_that_were_asked_for_are_those_that_must_come():
    """All of them is another answer."""
    request = dataclasses.replace(REQUEST, needed_layers=(0, 2))
    accepted(dataclasses.replace(HEADER, sent_layers=(0, 2)), request)
    with pytest.raises(BindingError, match=r"^the stream's layers is \(0, 1, 2\), but \(0, 2\) was expected"):
        accepted(HEADER, request)


@pytest.mark.parametrize("alignment", AlignmentRule)
def test_only_a_chat_begins_where_the_sharers_template_has_it(alignment):
    """Which the receiver does not know; without one the head is its own."""
    header, request = dataclasses.replace(HEADER, first_position=5), dataclasses.replace(REQUEST, alignment=alignment)
    if alignment in {AlignmentRule.FIRST, AlignmentRule.LONGEST}:
        accepted(header, request)
        return
    with pytest.raises(BindingError, match=r"^the stream's first position is 5, but 1 was expected"):
        accepted(header, request)
