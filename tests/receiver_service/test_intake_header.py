"""A header is held against what was asked for before anything behind it is taken."""

import dataclasses
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import BindingError, DataLossError, OverloadedError
from kvwire.model_card import Rope
from kvwire.requests import AlignmentRule
from kvwire.rpc import share_request_serde, stream_serde
from receiver_service.intake import Intake
from tests.receiver_service.streams import BINDING, CARD, FRAMES, HEADER, REQUEST, receive, stream

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
    intake.header(data, stream_serde.header_from_bytes(data))


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
