"""A cache that comes in several streams: what each is asked for, and what may be made of a rest."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from codec.rope import RopeTable
from codec.spec import CodecSpec
from kvwire.errors import BindingError, DataLossError, SpoiledError
from kvwire.requests import Method, RequestInfo, TokenIds
from kvwire.stream import CacheHeader, ShareRequest
from receiver_service.incoming import Incoming, resolved
from tests.receiver_service.streams import BINDING

REQUEST = ShareRequest(
    RequestInfo("r1"),
    Method.PREFIX,
    TokenIds((1, 2)),
    "fp32",
    BINDING,
    BINDING,
    policy="budget=1",
    needed_layers=(1, 2, 3),
)
HEADER = CacheHeader(
    1, 1, "r1", BINDING, b"", b"", "int8", 4, 1, 4, (), (0,) * 4, 2, 1, 2, 1, (1, 2, 3), content_digest=b"d" * 32
)


@pytest.fixture
def incoming(question):
    layers = SimpleNamespace(arrived=set())
    return Incoming(question(), REQUEST, None, None, layers, None, None, None)


def test_the_first_stream_is_asked_for_all(incoming):
    """As it was asked of us."""
    assert incoming.asked() is REQUEST


def test_a_second_stream_is_asked_for_the_layers_that_are_missing(incoming):
    """In the codec that the policy came to."""
    assert not incoming.continues(HEADER)
    incoming.header = HEADER
    incoming.layers.arrived = {1, 3}
    assert incoming.missing == (2,)
    assert incoming.asked() == replace(REQUEST, needed_layers=(2,), codec="int8", policy="")
    assert incoming.continues(replace(HEADER, sent_layers=(2,), request_digest=b"of the second"))
    assert incoming.missing == (2,)


def test_layers_that_are_missing_are_asked_for_whatever_was_held_before(incoming):
    """The sharer would send a cache that is held as nothing."""
    incoming.request = replace(REQUEST, held_digests=(b"d" * 32,))
    incoming.header = HEADER
    assert incoming.asked().held_digests == ()


def test_if_only_the_end_was_lost_only_that_is_asked_for(incoming):
    """The sharer hears that its cache is here, and sends its trailer."""
    incoming.header = HEADER
    incoming.layers.arrived = {1, 2, 3}
    assert incoming.asked().held_digests == (b"d" * 32,)
    assert incoming.asked().needed_layers == (1, 2, 3)


@pytest.mark.parametrize("change", [{"codec": "fp32"}, {"source_tokens": 3}, {"content_digest": b"e" * 32}])
def test_the_rest_of_another_cache_is_refused(incoming, change):
    """Halves of two caches make none."""
    incoming.header = HEADER
    says = (
        r"^a stream that was to bring the rest of a cache is of another one: .* or tables changed meanwhile; retry the"
    )
    with pytest.raises(BindingError, match=says):
        incoming.continues(replace(HEADER, sent_layers=(2,), **change))


def test_layers_are_of_use_unless_nobody_knows_which_are_right(incoming):
    """A stream whose digest differs spoils what it brought."""
    incoming.header = HEADER
    incoming.layers.share = 1.0
    assert incoming.usable_after(DataLossError("a chunk"), 0.9)
    assert not incoming.usable_after(SpoiledError("the digest"), 0.0)


@pytest.mark.parametrize(
    ("share", "least", "usable"), [(0.0, 0.0, False), (0.1, 0.0, True), (0.8, 0.9, False), (0.9, 0.9, True)]
)
def test_too_few_layers_are_of_no_use(incoming, share, least, usable):
    """None at all never, few of them where they would harm."""
    incoming.layers.share = share
    assert incoming.usable_after(DataLossError("a chunk"), least) is usable


def test_a_held_cache_that_was_placed_is_all_there(incoming):
    """Whatever becomes of the stream that only had to say so."""
    incoming.header, incoming.replayed = HEADER, True
    incoming.layers.share = 0.0
    assert incoming.usable_after(DataLossError("the trailer"), 0.9)


ROPES = RopeTable(())


def test_frames_are_read_by_the_codec_that_a_policy_came_to():
    """With the options that were asked for, and the sharer's angles."""
    found = resolved(CodecSpec.parse("fp16+keep=0.5"), replace(HEADER, codec="int8+keep=0.5"), ROPES)
    assert str(found.spec) == "int8+keep=0.5"
    assert found._rope is ROPES


@pytest.mark.parametrize(
    ("codec", "error", "says"),
    [
        ("int9", DataLossError, "the stream's codec: .*int9"),
        ("int8", BindingError, "has not the options"),
        ("int8:per=token+keep=0.5", BindingError, "the stream's codec is 'int8:per=token"),
    ],
    ids=["no codec", "other options", "not as it is written"],
)
def test_what_is_no_answer_to_a_policy_is_refused(codec, error, says):
    """With what the header names."""
    with pytest.raises(error, match=says):
        resolved(CodecSpec.parse("fp16+keep=0.5"), replace(HEADER, codec=codec), ROPES)
