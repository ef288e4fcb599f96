"""A text relay's request and reply, changed on the way, as the receiver's own code takes them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import DataLossError
from kvwire.model_card import ModelBinding
from kvwire.requests import Exchange, Method, RelayMode, RequestInfo, Text
from kvwire.rpc.model_serde import binding_to_proto
from kvwire.rpc.relay_serde import RelayAsked, reply_bytes, reply_from_bytes, request_bytes
from kvwire.v1 import exchange_pb2, sharer_service_pb2

BINDING = ModelBinding("tiny", "1", b"w" * 32, b"t" * 32)
INFO = RequestInfo("an id", "mia", 5000)
EXCHANGE = Exchange(Method.TEXT, relay=RelayMode.WRITTEN, relay_max_tokens=40, relay_instruction="Say it in one word:")
SENT = request_bytes(INFO, Text("The key is under the mat."), EXCHANGE)


def replied(request):
    """What a sharer sends that read these bytes."""
    reply = sharer_service_pb2.RelayResponse(
        text="mat",
        tokens=2,
        context_tokens=30,
        stages=[exchange_pb2.StageTiming(name="prefill", side=1, seconds=0.5)],
        sharer=binding_to_proto(BINDING),
    )
    return reply_bytes(reply, request)


REPLY = replied(SENT)


def flipped(data, bit):
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def refused(reply, request=SENT):
    with pytest.raises(DataLossError):
        reply_from_bytes(reply, request, sealed=True)


def test_the_reply_itself_is_taken():
    """Also by whoever knows neither digest nor seal, and reads it as any message."""
    assert reply_from_bytes(REPLY, SENT, sealed=True).text == "mat"
    assert sharer_service_pb2.RelayResponse.FromString(REPLY).text == "mat"


def test_every_flipped_bit_of_a_reply_is_detected():
    """One after the other, the seal's own among them."""
    for bit in range(8 * len(REPLY)):
        refused(flipped(REPLY, bit))


def test_every_flipped_bit_of_a_request_is_detected():
    """By the sharer, to which it is none, or by the receiver, whose request it was not."""
    unread = 0
    for bit in range(8 * len(SENT)):
        came = RelayAsked.of(flipped(SENT, bit))
        if came.message is None:
            unread += 1
            with pytest.raises(DataLossError, match="does not parse"):
                came.parsed()
        else:
            refused(replied(came.data))
    assert 0 < unread < 8 * len(SENT)


@given(st.integers(0, len(REPLY)), st.binary(max_size=64), st.integers(0, 64))
def test_whatever_is_cut_out_or_put_in_is_detected(at, put_in, cut_out):
    """In any place, at the end too."""
    changed = REPLY[:at] + put_in + REPLY[at + cut_out :]
    if changed == REPLY:
        assert reply_from_bytes(changed, SENT, sealed=True).text == "mat"
    else:
        refused(changed)


def test_the_reply_to_another_request_is_refused():
    """A context or an instruction of the same length makes it another."""
    others = [
        request_bytes(replace(INFO, request_id="an ID"), Text("The key is under the mat."), EXCHANGE),
        request_bytes(INFO, Text("The key is under the hat."), EXCHANGE),
        request_bytes(INFO, Text("The key is under the mat."), replace(EXCHANGE, relay_max_tokens=41)),
    ]
    for other in others:
        refused(replied(other))


def test_a_sharer_from_before_there_were_seals_is_understood():
    """Its reply has neither digest; one that lost its seal on the way is not taken for such a reply."""
    old = sharer_service_pb2.RelayResponse(text="mat", tokens=2).SerializeToString()
    assert reply_from_bytes(old, SENT, sealed=False).text == "mat"
    refused(old)
    with pytest.raises(DataLossError):
        reply_from_bytes(REPLY[:-34], SENT, sealed=False)
