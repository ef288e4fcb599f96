"""Requests and reports survive the trip through protobuf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import BY_STATUS, InvalidRequestError, KvwireError
from kvwire.report import ByteCounts, ContinuationScore, Report, Spared, StageTiming, TokenCounts
from kvwire.requests import (
    ChatMessage,
    Exchange,
    FaultPolicy,
    FurtherSharer,
    FusionOrder,
    GenerateRequest,
    Messages,
    Method,
    RelayMode,
    RequestInfo,
    ScoreRequest,
    Text,
    TokenIds,
)
from kvwire.rpc import answer_serde, serde
from kvwire.v1 import input_pb2

words = st.text(min_size=1, max_size=20)
counts = st.integers(0, 2**31)
seconds = st.floats(0, 1e6)
inputs = st.one_of(
    st.builds(Text, words),
    st.builds(TokenIds, st.lists(counts, min_size=1, max_size=5).map(tuple)),
    st.builds(Messages, st.lists(st.builds(ChatMessage, words, words), min_size=1, max_size=3).map(tuple)),
)
exchanges = st.builds(
    Exchange,
    st.sampled_from(Method),
    words,
    words,
    words,
    st.sampled_from(FaultPolicy),
    st.sampled_from(RelayMode),
    counts,
    words,
    st.lists(st.builds(FurtherSharer, words, words), max_size=2).map(tuple),
    st.sampled_from(FusionOrder),
    words,
)
spared = st.lists(st.builds(Spared, words, counts, counts), max_size=2).map(tuple)
infos = st.builds(RequestInfo, words, words, counts)
contexts = st.none() | inputs
reports = st.builds(
    Report,
    words,
    st.sampled_from(Method),
    st.sampled_from(Method),
    words,
    words,
    words,
    st.builds(TokenCounts, *[counts] * 6),
    st.none() | st.builds(ByteCounts, counts, counts, counts, counts, st.booleans(), counts, seconds, spared),
    st.lists(st.builds(StageTiming, words, st.sampled_from(["sharer", "receiver"]), seconds), max_size=3).map(tuple),
    words,
    words,
    counts,
    st.lists(words, max_size=2).map(tuple),
    counts,
    counts,
)


stops = st.lists(words, max_size=3).map(tuple)


@given(st.builds(GenerateRequest, inputs, contexts, exchanges, st.integers(1, 2**31), st.booleans(), infos, stops))
def test_a_generation_request_comes_back_as_it_was(request):
    """Every field."""
    assert serde.generate_from_proto(serde.generate_to_proto(request)) == request


continuations = st.lists(inputs, min_size=1, max_size=3).map(tuple)


@given(st.builds(ScoreRequest, inputs, continuations, contexts, exchanges, infos, st.booleans(), words))
def test_a_scoring_request_comes_back_as_it_was(request):
    """Every field."""
    assert serde.score_from_proto(serde.score_to_proto(request)) == request


@given(reports)
def test_a_report_comes_back_as_it_was(report):
    """Every counter and stage."""
    assert answer_serde.report_from_proto(answer_serde.report_to_proto(report)) == report


def test_a_score_comes_back_as_it_was():
    """Comparison included."""
    score = ContinuationScore(2, (5, 6), (-0.5, -1.5), 7, (0.1, 0.2), (True, False))
    assert answer_serde.continuation_score_from_proto(answer_serde.continuation_score_to_proto(score)) == score


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (GenerateRequest(Text("x"), max_new_tokens=1 << 32), "out of range: 4294967296"),
        (GenerateRequest(Text("x"), info=RequestInfo(deadline_ms=-1)), "out of range: -1"),
        (GenerateRequest(Text("\udcff")), "surrogates"),
        (ScoreRequest(Text("x"), (TokenIds((-1,)),)), "out of range: -1"),
    ],
)
def test_what_no_message_holds_is_refused_by_our_own_error(request_, words):
    """Before it is sent; a byte of a command line that is no text becomes half a character."""
    to_proto = serde.generate_to_proto if isinstance(request_, GenerateRequest) else serde.score_to_proto
    with pytest.raises(InvalidRequestError, match=words):
        to_proto(request_)


def test_an_input_without_a_form_is_refused():
    """The message says what to set."""
    with pytest.raises(InvalidRequestError, match="set text, messages or token_ids"):
        serde.input_from_proto(input_pb2.Input(), "prompt")


@pytest.mark.parametrize("field", ["request_id", "caller"])
def test_an_overlong_name_is_refused(field):
    """It would end up in every log line."""
    request = GenerateRequest(Text("x"), info=RequestInfo(**{field: "x" * 65}))
    with pytest.raises(InvalidRequestError, match="65 characters"):
        serde.generate_from_proto(serde.generate_to_proto(request))


@pytest.mark.parametrize("stop", [("",), ("x" * 257,), ("x",) * 17])
def test_stop_texts_beyond_reason_are_refused(stop):
    """Each is looked for after every token."""
    request = GenerateRequest(Text("x"), stop=stop)
    with pytest.raises(InvalidRequestError, match="stop text"):
        serde.generate_from_proto(serde.generate_to_proto(request))


def test_every_error_maps_to_a_grpc_status_and_back():
    """A client rebuilds the kind of error a service raised."""
    grpc = pytest.importorskip("grpc")
    for status, error in BY_STATUS.items():
        assert grpc.StatusCode[status]
        assert issubclass(error, KvwireError)
        assert error.status == status
