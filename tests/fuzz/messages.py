"""Protobuf messages of every service: whatever comes, it is refused by an error of ours or is a value that holds.

The first byte says what the rest is: a Share stream (streams.py), a request, or an answer that a client or receiver
reads. A request that is taken must come back as it was from its own messages.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from google.protobuf.message import DecodeError, Message

from codec.formula import formula_bytes
from codec.spec import CodecSpec
from fuser.layers import rope_table
from kvwire.errors import KvwireError
from kvwire.model_card import Description, Limits
from kvwire.report import ByteCounts, ContinuationScore, Report, Scored, Spared, StageTiming, Token, TokenCounts
from kvwire.requests import (
    ChatMessage,
    Exchange,
    FurtherSharer,
    GenerateRequest,
    Messages,
    Method,
    RequestInfo,
    ScoreRequest,
    Text,
    TokenIds,
)
from kvwire.rpc import answer_serde, model_serde, relay_serde, serde, share_request_serde
from kvwire.rpc.enums import RELAY_MODES, known
from kvwire.v1 import exchange_pb2, model_service_pb2, receiver_service_pb2, sharer_service_pb2
from sharer_service.relay import plain_text
from tests.fuzz import streams
from tests.integrity.share_streams import CARD, Pair

_INFO = RequestInfo("id", "somebody", 500)
_EXCHANGE = Exchange(Method.FUSE, "one", "nf4", "c2c", further=(FurtherSharer("two", "ridge"),), policy="budget=9999")
_CHAT = Messages((ChatMessage("system", "be brief"), ChatMessage("user", "hello")))
_GENERATE = GenerateRequest(_CHAT, Text("a context"), _EXCHANGE, 4, True, _INFO)
_SCORE = ScoreRequest(TokenIds((1, 2)), (Text("a"), TokenIds((3,))), None, Exchange(), _INFO, True, "an id")
_REPORT = Report(
    *("id", Method.FUSE, Method.TEXT, "a reason", "nf4", "c2c", TokenCounts(1, 2, 3, 4, 5, 6)),
    ByteCounts(1, 2, 3, 4, True, 5, 6.5, (Spared("held", 7, 8),)),
    *((StageTiming("prefill", "sharer", 0.5),), "sharer's", "receiver's"),
)
_SCORED = Scored(Token(1, "a", -0.5), (ContinuationScore(0, (1,), (-1.0,), 1, (0.1,), (True,)),), _REPORT)


def seeds() -> Iterator[bytes]:
    """A good one of each."""
    yield from (b"\0" + stream for stream in streams.seeds())
    prompt, score = serde.generate_to_proto(_GENERATE), serde.score_to_proto(_SCORE)
    relay = relay_serde.request_bytes(_INFO, Text("a context"), Exchange(relay_max_tokens=9))
    described = Description(CARD, ("fp32",), ("identity",), (Method.PREFIX,), Limits(), ("one",), "1")
    good: list[Message | bytes] = [
        Pair("int8").request(),
        prompt,
        score,
        model_service_pb2.ScoreTogetherRequest(requests=[score, score]),
        receiver_service_pb2.InspectRequest(generate=prompt, with_cache=True),
        relay,
        model_serde.description_to_proto(described),
        answer_serde.report_to_proto(_REPORT),
        answer_serde.scored_to_proto(_SCORED),
        relay_serde.reply_bytes(sharer_service_pb2.RelayResponse(text="a text", tokens=2), b"a request"),
    ]
    for at, message in enumerate(good, 1):
        yield bytes([at]) + (message if isinstance(message, bytes) else message.SerializeToString())


def run(data: bytes) -> None:
    """One run: any error but ours is a finding; what protobuf refuses never reaches our code."""
    if data:
        with suppress(KvwireError, DecodeError):
            _KINDS[data[0] % len(_KINDS)](data[1:])


def _stays(value: Any, to_proto: Callable[[Any], Any], from_proto: Callable[[Any], Any]) -> None:
    assert from_proto(to_proto(value)) == value


def _share(data: bytes) -> None:
    request = share_request_serde.from_bytes(data)
    _stays(request, share_request_serde.to_proto, share_request_serde.from_proto)


def _generate(data: bytes) -> None:
    request = serde.generate_from_proto(model_service_pb2.GenerateRequest.FromString(data))
    _stays(request, serde.generate_to_proto, serde.generate_from_proto)


def _score(data: bytes) -> None:
    request = serde.score_from_proto(model_service_pb2.ScoreRequest.FromString(data))
    _stays(request, serde.score_to_proto, serde.score_from_proto)


def _score_together(data: bytes) -> None:
    for request in model_service_pb2.ScoreTogetherRequest.FromString(data).requests:
        serde.score_from_proto(request)


def _inspect(data: bytes) -> None:
    serde.generate_from_proto(receiver_service_pb2.InspectRequest.FromString(data).generate)


def _relay(data: bytes) -> None:
    request = relay_serde.RelayAsked.of(data).parsed()
    serde.info_from_proto(request.info)
    known(RELAY_MODES, request.mode, "relay mode")
    source = serde.optional_input(request.context)
    if source is not None:
        plain_text(source)


def _description(data: bytes) -> None:
    """A receiver also takes the angles of what a sharer says it runs."""
    rope_table(model_serde.description_from_proto(model_service_pb2.DescribeResponse.FromString(data)).card)


def _report(data: bytes) -> None:
    report = answer_serde.report_from_proto(exchange_pb2.Report.FromString(data))
    if report.codec:
        formula_bytes(CodecSpec.parse(report.codec), 9, 2, 8)


def _scored(data: bytes) -> None:
    answer_serde.scored_from_proto(model_service_pb2.Scored.FromString(data))


def _relayed(data: bytes) -> None:
    relay_serde.reply_from_bytes(data, b"a request", sealed=data[:1] == b"\n")


_KINDS = (
    streams.run,
    _share,
    _generate,
    _score,
    _score_together,
    _inspect,
    _relay,
    _description,
    _report,
    _scored,
    _relayed,
)
