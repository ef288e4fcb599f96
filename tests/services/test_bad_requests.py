"""Bad input: a clear error with the right status, and services that go on serving."""

import grpc
import pytest

from kvwire.client import Client
from kvwire.errors import (
    InputTooLongError,
    InvalidRequestError,
    KvwireError,
    NotFoundError,
    OverloadedError,
)
from kvwire.requests import (
    ChatMessage,
    Exchange,
    GenerateRequest,
    Messages,
    Method,
    RequestInfo,
    ScoreRequest,
    Text,
    TokenIds,
)
from kvwire.v1 import model_service_pb2, model_service_pb2_grpc, receiver_service_pb2, receiver_service_pb2_grpc

HELLO = Text("hello")
CONTEXT = Text("a fact ")


def asked(prompt=HELLO, context=CONTEXT, max_new_tokens=2, **exchange):
    return GenerateRequest(prompt, context, Exchange(**exchange), max_new_tokens)


BAD = {
    "empty prompt": (asked(Text("")), InvalidRequestError, "prompt is empty"),
    "no context for prefix": (asked(context=None), InvalidRequestError, "needs a context"),
    "too long a prompt": (asked(TokenIds((5,) * 1100)), InputTooLongError, "takes 1024"),
    "too long a context": (asked(context=TokenIds((5,) * 1100)), InputTooLongError, "takes 1024"),
    "context and prompt too long together": (
        asked(TokenIds((5,) * 600), TokenIds((5,) * 600)),
        InputTooLongError,
        "takes 1024",
    ),
    "too long an answer": (asked(max_new_tokens=5000), InputTooLongError, "takes 1024"),
    "unknown codec": (asked(codec="int7"), InvalidRequestError, "int7"),
    "malformed spec": (asked(codec="int8:per="), InvalidRequestError, "per"),
    "no spec": (asked(codec=""), InvalidRequestError, "codec"),
    "unknown sharer": (asked(sharer="nobody"), NotFoundError, "known: sharer"),
    "unknown fuser": (asked(fuser="magic"), NotFoundError, "known: identity"),
    "a method of the sharer": (asked(method=Method.SHARER_ONLY), InvalidRequestError, "send it there"),
    "a token of another vocabulary": (asked(TokenIds((512,))), InvalidRequestError, "vocabulary of 512"),
    "a role that the chat template refuses": (
        asked(Messages((ChatMessage("user", "How many?"), ChatMessage("tool", "42")))),
        InvalidRequestError,
        "refuses the messages: tools have no turn",
    ),
    "nothing to generate": (asked(max_new_tokens=0), InvalidRequestError, "at least 1"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_refused_and_the_next_one_served(pair, name):
    """The error says what was wrong; the service lives on."""
    request, error, words = BAD[name]
    status = error.status
    async with pair.receiver_client() as receiver:
        with pytest.raises(KvwireError, match=words) as caught:
            await receiver.generate_all(request)
        assert caught.value.status == status
        good = await receiver.generate_all(asked(codec="fp16"))
    assert good.report.tokens.generated > 0


async def test_a_spec_that_does_not_parse_is_refused_before_the_sharer_is_asked(pair):
    """The receiver parses it first."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(InvalidRequestError, match="known: "):
            await receiver.generate_all(asked(codec="nonsense"))


@pytest.mark.parametrize("method", [0, 99])
async def test_an_unknown_method_number_is_refused(pair, method):
    """A number from a newer protocol is never guessed at."""
    async with grpc.aio.insecure_channel(pair.receiver.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = model_service_pb2.GenerateRequest(max_new_tokens=1)
        request.info.protocol_version = 1
        request.prompt.text = "hello"
        request.exchange.method = method
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.Generate(request):
                pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"method {method}" in caught.value.details()


async def test_another_protocol_version_is_refused(pair):
    """Both versions are in the message."""
    async with grpc.aio.insecure_channel(pair.receiver.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = model_service_pb2.GenerateRequest(max_new_tokens=1)
        request.info.protocol_version = 2
        request.prompt.text = "hello"
        request.exchange.method = 1
        with pytest.raises(grpc.aio.AioRpcError, match="version 2, this service speaks 1") as caught:
            async for _ in stub.Generate(request):
                pass
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_message_over_the_limit_is_refused(pair):
    """Five megabytes of prompt never reach the tokenizer."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(OverloadedError, match="larger than max"):
            await receiver.generate_all(asked(Text("x" * 5_000_000)))
        assert await receiver.describe()


async def test_an_empty_continuation_is_refused(pair):
    """There is nothing to score."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(InvalidRequestError, match="continuation is empty"):
            await receiver.score(ScoreRequest(HELLO, (Text(" a"), Text("")), CONTEXT, Exchange()))
        with pytest.raises(InvalidRequestError, match="no continuations"):
            await receiver.score(ScoreRequest(HELLO, (), CONTEXT, Exchange()))


async def test_a_deadline_that_cannot_be_met_ends_the_request(pair):
    """The caller gets DEADLINE_EXCEEDED and the service is free again."""
    async with pair.receiver_client() as receiver:
        request = GenerateRequest(HELLO, CONTEXT, Exchange(), 900, ignore_eos=True, info=RequestInfo(deadline_ms=50))
        with pytest.raises(KvwireError) as caught:
            await receiver.generate_all(request)
        assert caught.value.status == "DEADLINE_EXCEEDED"
        assert (await receiver.generate_all(asked())).tokens


async def test_inspection_is_off_unless_asked_for(pair):
    """A cache is as private as its prompt."""
    async with grpc.aio.insecure_channel(pair.receiver.address) as channel:
        stub = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="inspection is off") as caught:
            async for _ in stub.Inspect(receiver_service_pb2.InspectRequest()):
                pass
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_address_where_nobody_listens_is_unavailable():
    """The message says what to check."""
    async with Client("127.0.0.1:1") as nobody:
        with pytest.raises(KvwireError, match="check that it runs") as caught:
            await nobody.describe()
    assert caught.value.status == "UNAVAILABLE"
