"""The HTTP front door between OpenAI's own client and a running pair."""

import asyncio
import json
import socket

import openai
import pytest

from bench.services.scrape import Scrape
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import ChatMessage, Exchange, GenerateRequest, Messages, Method, Text
from tests.over_http import fetch

CONTEXT = "a perpetual license. "
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
PREFIX = {"kvwire": {"context": CONTEXT, "codec": "int8"}, "ignore_eos": True}
ALONE = Exchange(Method.RECEIVER_ONLY)
LONG = {"prompt": "hello", "max_tokens": 900, "ignore_eos": True}


@pytest.fixture(scope="module")
def door(pair, tmp_path_factory):
    """A front door of the pair's receiver; its log is beside it."""
    log = tmp_path_factory.mktemp("logs") / "http.log"
    arguments = [*FREE_PORTS, "--receiver", pair.receiver.address]
    with running_service("http_service", arguments, log) as service:
        yield service, log


@pytest.fixture
async def client(door):
    """OpenAI's, which tries nothing again."""
    base = f"http://{door[0].address}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="any", max_retries=0) as made:
        yield made


async def over_grpc(pair, prompt, exchange=ALONE, context=None, count=8):
    async with pair.receiver_client() as client:
        request = GenerateRequest(prompt, context, exchange, count, ignore_eos=True)
        return await client.generate_all(request)


def post(service, path, body, **headers):
    """Status, headers and body of a POST that no client library made."""
    given = {"Content_Type": "application/json"} | headers
    status, answered, said = fetch(service.address, path, "POST", body, **given)
    return status, answered, json.loads(said)


async def test_a_chat_is_the_answer_that_grpc_gives(pair, client):
    """Rendered by the receiver's template, with the sharer's cache; the report comes along."""
    messages = Messages(tuple(ChatMessage(one["role"], one["content"]) for one in HELLO))
    expected = await over_grpc(pair, messages, Exchange(Method.PREFIX, codec="int8"), Text(CONTEXT))
    answer = await client.chat.completions.create(model="", messages=HELLO, max_completion_tokens=8, extra_body=PREFIX)
    [choice] = answer.choices
    tokens, report = expected.report.tokens, answer.model_extra["kvwire"]
    assert (choice.message.role, choice.message.content) == ("assistant", expected.text)
    assert choice.finish_reason == "length"
    assert answer.model == expected.report.answering_model
    assert answer.usage.prompt_tokens == tokens.head + tokens.context + tokens.prompt
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (8, answer.usage.prompt_tokens + 8)
    assert (report["path"], report["codec"]) == ("prefix", expected.report.codec)
    assert report["bytes"]["payload_bytes"] == expected.report.bytes.payload_bytes
    assert report["first_token_s"] > 0


async def test_a_chat_is_streamed_token_by_token(pair, client):
    """Who speaks, the tokens, why it ended with the report, then the usage that was asked for."""
    expected = await over_grpc(pair, Messages((ChatMessage("user", "hello"),)))
    stream = await client.chat.completions.create(
        model="",
        messages=HELLO[1:],
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    opening, *pieces, ending, usage = [chunk async for chunk in stream]
    assert opening.choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in pieces] == [token.text for token in expected.tokens]
    assert ending.choices[0].finish_reason == "length"
    assert ending.model_extra["kvwire"]["path"] == "receiver_only"
    assert (usage.choices, usage.usage.completion_tokens) == ([], 8)
    assert len({chunk.id for chunk in (opening, *pieces, ending, usage)}) == 1


async def test_a_completion_shows_the_log_probabilities_that_grpc_gives(pair, client):
    """In one, and streamed with no usage that nobody asked for."""
    expected = await over_grpc(pair, Text("hello"))
    asked = {"model": "", "prompt": "hello", "max_tokens": 8, "logprobs": 1, "extra_body": {"ignore_eos": True}}
    answer = await client.completions.create(**asked)
    streamed = [chunk async for chunk in await client.completions.create(**asked, stream=True)]
    [choice] = answer.choices
    texts = [token.text for token in expected.tokens]
    logprobs = [pytest.approx(token.logprob, abs=1e-4) for token in expected.tokens]
    assert choice.text == expected.text
    assert choice.logprobs.tokens == texts
    assert choice.logprobs.token_logprobs == logprobs
    assert choice.logprobs.text_offset == [len("".join(texts[:index])) for index in range(8)]
    assert [chunk.choices[0].text for chunk in streamed] == [*texts, ""]
    assert [chunk.choices[0].logprobs.token_logprobs[0] for chunk in streamed[:-1]] == logprobs
    assert streamed[-1].model_extra["kvwire"]["tokens"]["generated"] == 8


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_text_ends_the_answer_and_is_not_shown(pair, client, stream):
    """What was made is counted, the token that completed it too."""
    whole = (await over_grpc(pair, Text("hello"), count=24)).text
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    options = {"stream_options": {"include_usage": True}} if stream else {}
    answer = await client.completions.create(
        model="", prompt="hello", max_tokens=24, stop=[stop], stream=stream, extra_body={"ignore_eos": True}, **options
    )
    chunks = [chunk async for chunk in answer] if stream else [answer]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.text for choice in choices) == whole[: whole.find(stop)]
    assert choices[-1].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens < 24


async def test_the_model_is_named_and_another_is_refused(client):
    """By what the receiver says it runs."""
    [model] = (await client.models.list()).data
    assert "prefix" in model.model_extra["kvwire"]["methods"]
    assert (await client.models.retrieve(model.id)).id == model.id
    assert (await client.completions.create(model=model.id, prompt="hello", max_tokens=1)).model == model.id
    for call in (client.models.retrieve("gpt-4"), client.completions.create(model="gpt-4", prompt="hello")):
        with pytest.raises(openai.NotFoundError, match="GET /v1/models tells"):
            await call


@pytest.mark.parametrize(
    ("body", "error", "words", "param"),
    [
        ({"temperature": 0.7}, openai.BadRequestError, "decoding is greedy", "temperature"),
        ({"n": 2}, openai.BadRequestError, "one answer", "n"),
        ({"extra_body": {"kvwire": {"method": "magic"}}}, openai.BadRequestError, "receiver_only", "kvwire.method"),
        ({"max_tokens": 5000}, openai.BadRequestError, "1024", None),
        (
            {"extra_body": {"kvwire": {"context": "x", "sharer": "nobody"}}, "stream": True},
            openai.NotFoundError,
            "nobody",
            None,
        ),
    ],
)
async def test_what_cannot_be_answered_is_an_error_of_the_client(client, body, error, words, param):
    """Read here or answered by the receiver; before a stream begins too."""
    with pytest.raises(error, match=words) as caught:
        await client.completions.create(**{"model": "", "prompt": "hello"} | body)
    assert caught.value.param == param


async def counted(pair, name, **labels):
    """What the receiver's metrics say."""
    return (await asyncio.to_thread(Scrape.of, pair.receiver.metrics)).total(name, **labels)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_stops_the_receiver(pair, door, stream):
    """Long before the last token of the answer."""
    before = await counted(pair, "kvwire_failures_total", code="CANCELLED")
    host, _, port = door[0].address.rpartition(":")
    body = json.dumps(LONG | {"stream": stream}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if stream:
            await asyncio.to_thread(connection.recv, 100)
        while not await counted(pair, "kvwire_requests_in_flight"):
            pass
    while await counted(pair, "kvwire_requests_in_flight"):
        pass
    assert await counted(pair, "kvwire_failures_total", code="CANCELLED") == before + 1


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "http://127.0.0.1:8000"}, "{}", 403),
        ({"Content_Type": "text/plain"}, "{}", 400),
        ({"Authorization": "Basic eDp5"}, "{}", 401),
        ({}, "x" * (4 * 1024 * 1024 + 1), 413),
    ],
)
def test_what_no_client_would_send_is_turned_away_unread(door, headers, body, status):
    """A page of a browser, another content, another scheme, too much."""
    found, _, said = post(door[0], "/v1/completions", body, **headers)
    assert found == status
    assert said["error"]["message"]


def test_a_path_that_is_not_there_is_an_error_in_the_same_form(door):
    """And so is a method."""
    assert post(door[0], "/v1/embeddings", "{}")[0] == 404
    status, _, said = post(door[0], "/v1/models", "{}")
    assert (status, said["error"]["type"]) == (405, "invalid_request_error")


def test_an_id_goes_through_to_the_report_and_the_log_names_no_text(door):
    """The caller's own, if it can be one; the log has a line for it."""
    service, log = door
    body = {"prompt": "Bartholomew", "max_tokens": 1, "kvwire": {"context": "Bartholomew", "codec": "int8"}}
    _, headers, said = post(service, "/v1/completions", json.dumps(body), X_Request_Id="mia-7")
    assert (headers["x-request-id"], said["id"], said["kvwire"]["request_id"]) == ("mia-7", "cmpl-mia-7", "mia-7")
    _, headers, _ = post(service, "/v1/completions", json.dumps(body | {"n": "Bartholomew"}), X_Request_Id="a b")
    assert len(headers["x-request-id"]) == 32
    [line] = [line for line in log.read_text().splitlines() if "mia-7" in line]
    assert "POST /v1/completions: 200 after" in line
    assert "Bartholomew" not in log.read_text()


def test_health_is_the_receiver_s(door):
    """Without a token."""
    assert fetch(door[0].address, "/health")[0] == 200


async def test_metrics_tell_how_requests_ended_and_when_they_began_to_be_answered(door, client):
    """On a port of their own."""

    def counted():
        scrape = Scrape.of(door[0].metrics)
        route = {"route": "/v1/completions"}
        ended = [scrape.total("kvwire_http_requests_total", **route, status=status) for status in ("200", "400")]
        return [*ended, scrape.total("kvwire_http_first_token_seconds_count", **route)]

    before = counted()
    await client.completions.create(model="", prompt="hello", max_tokens=2)
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="", prompt="hello", max_tokens=2, n=2)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1]
