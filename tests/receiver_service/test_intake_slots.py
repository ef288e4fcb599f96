"""A header's slots are held against the tokens that come and what was asked for."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import BindingError, DataLossError
from kvwire.requests import AlignmentRule
from tests.receiver_service.streams import HEADER, REQUEST, accepted


def test_slots_begin_where_they_were_asked_to():
    """Nowhere else is there room for them."""
    with pytest.raises(BindingError, match=r"^the stream's first slot position is 0, but 1 was expected"):
        accepted(dataclasses.replace(HEADER, first_slot_position=0))


def test_one_token_is_a_cache():
    """And none is not."""
    accepted(dataclasses.replace(HEADER, source_tokens=1, slots=1))
    with pytest.raises(DataLossError, match=r"^the stream announces no slots; retry the call$"):
        accepted(dataclasses.replace(HEADER, source_tokens=1, slots=0))


def uneven(slots, *deltas):
    """A header that maps its two tokens to slots."""
    return dataclasses.replace(HEADER, slots=slots, slot_source_deltas=deltas)


ALIGNED = dataclasses.replace(REQUEST, alignment=AlignmentRule.CHARACTERS)


def test_aligned_slots_name_their_source_tokens():
    """Three slots of two tokens."""
    accepted(header := uneven(3, 1, 0, 1), ALIGNED)
    assert header.slot_sources == (0, 0, 1)


def test_slots_may_all_be_of_one_token_but_of_none_that_does_not_come():
    """Of two tokens there is no third."""
    accepted(uneven(3, 1, 0, 0), ALIGNED)
    with pytest.raises(DataLossError, match="names 3 source tokens for 3 slots"):
        accepted(uneven(3, 1, 1, 1), ALIGNED)


def test_an_uneven_map_that_was_not_asked_for_is_refused():
    """Slots would be placed where nobody expects them."""
    says = "^the stream maps 2 tokens to 3 slots unevenly; this receiver places them one to one$"
    with pytest.raises(BindingError, match=says):
        accepted(uneven(3, 1, 0, 1))


def test_positions_with_gaps_are_refused_under_any_alignment():
    """This release places tokens one after another."""
    with pytest.raises(BindingError, match="unevenly"):
        accepted(dataclasses.replace(HEADER, position_deltas=(2,)), ALIGNED)


def test_a_map_of_too_few_slots_is_told_with_its_numbers():
    """How many are named, for how many, of how many."""
    says = "^the stream names 2 source tokens for 3 slots, all must be of the 2 that come; retry the call$"
    with pytest.raises(DataLossError, match=says):
        accepted(uneven(3, 1, 0), ALIGNED)


@given(slots=st.integers(0, 5), deltas=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6))
def test_a_map_beyond_the_tokens_that_come_is_refused(slots, deltas):
    """Whatever it holds: each slot has one source token, and that one comes."""
    header = uneven(slots, *deltas)
    sources = header.slot_sources or tuple(range(slots))
    if len(sources) == slots and sources and set(sources) <= {0, 1} and (deltas or slots == 2):
        accepted(header, ALIGNED)
        return
    with pytest.raises(DataLossError):
        accepted(header, ALIGNED)
