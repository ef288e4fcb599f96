"""Asking over HTTP, between real processes: the same answers as over gRPC, for the same people."""

import asyncio
import json
import signal
import socket
from contextlib import contextmanager

import pytest

from bench.services.scrape import Scrape
from kvwire.processes import FREE_PORTS, Pair, running_pair, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text
from tests.over_http import fetch

FREE = ["--threads", "1", *FREE_PORTS]
QUESTION = {"context": "a perpetual license. ", "prompt": "hello", "codec": "int8", "max_new_tokens": 8}
LONG = {"method": "receiver_only", "prompt": "hello", "max_new_tokens": 900}


def ask(service, question, **headers):
    """Status and lines of a question asked as the page does."""
    given = {"Content_Type": "application/json", "Sec_Fetch_Site": "same-origin"} | headers
    status, _, body = fetch(service.metrics, "/ask", "POST", json.dumps(question), **given)
    return status, [json.loads(line) for line in body.splitlines()]


def live(service, after=0):
    """What the page is told."""
    return json.loads(fetch(service.metrics, f"/live.json?after={after}")[2])


def over_grpc(method, question=QUESTION):
    exchange = Exchange(Method(method), codec=question["codec"])
    return GenerateRequest(
        Text(question["prompt"]), Text(question["context"]), exchange, max_new_tokens=question["max_new_tokens"]
    )


@contextmanager
def asked(service, question):
    """A question on its way whose first token has come: its connection, and a file to read on from."""
    host, _, port = service.metrics.rpartition(":")
    body = json.dumps(question).encode()
    head = f"POST /ask HTTP/1.1\r\nHost: {service.metrics}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        while not (line := answer.readline()).startswith(b'{"token"'):
            assert line
        yield connection, answer


@pytest.mark.parametrize("method", ["receiver_only", "text", "prefix"])
async def test_an_answer_is_the_one_that_grpc_gives(pair, method):
    """Token by token, with the same bytes."""
    async with pair.receiver_client() as client:
        expected = await client.generate_all(over_grpc(method))
    status, lines = await asyncio.to_thread(ask, pair.receiver, QUESTION | {"method": method})
    *tokens, last = lines
    assert status == 200
    assert [line["token"] for line in tokens] == [token.text for token in expected.tokens]
    assert last["report"]["path"] == method
    moved = last["report"]["bytes"]
    assert (moved and moved["payload_bytes"]) == (expected.report.bytes and expected.report.bytes.payload_bytes)


def test_an_error_is_told_with_its_status(pair):
    """In the stream, because it may come late."""
    status, [line] = ask(pair.receiver, QUESTION | {"sharer": "nobody"})
    assert status == 200
    assert line["error"]["status"] == "NOT_FOUND"
    assert "nobody" in line["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "rebound.evil.example:80"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": ""}, 415),
    ],
)
def test_a_page_of_another_site_may_not_ask(pair, headers, status):
    """Not by a form, not by a script, not under a name that was pointed here."""
    found, [line] = ask(pair.receiver, QUESTION, **headers)
    assert found == status
    assert line["error"]["message"]


@pytest.mark.parametrize("body", ["", "{", "[]", '{"prompt": 3}', '{"prompt": "x", "max_new_tokens": 0}', '{"p": 1}'])
def test_a_question_that_cannot_be_read_is_refused(pair, body):
    """With what is wrong; its text is not repeated."""
    status, _, said = fetch(pair.receiver.metrics, "/ask", "POST", body, Content_Type="application/json")
    assert status == 400
    assert json.loads(said)["error"]["status"] == "INVALID_ARGUMENT"


def test_a_question_that_is_too_large_is_refused(pair):
    """Before it is read."""
    assert fetch(pair.receiver.metrics, "/ask", "POST", "x" * 70_000, Content_Type="application/json")[0] == 413


def test_who_goes_away_frees_the_receiver(pair):
    """The request ends as cancelled, long before its last token."""
    before = Scrape.of(pair.receiver.metrics)
    with asked(pair.receiver, LONG):
        assert Scrape.of(pair.receiver.metrics).total("kvwire_requests_in_flight") == 1
    while Scrape.of(pair.receiver.metrics).total("kvwire_requests_in_flight"):
        pass
    counted = Scrape.of(pair.receiver.metrics).since(before)
    assert counted.total("kvwire_failures_total", code="CANCELLED", method="receiver_only") == 1
    assert counted.total("kvwire_answers_total") == 0


@pytest.mark.slow
async def test_requests_are_told_by_numbers_and_never_by_text(tiny_llama, tmp_path):
    """To the page, and to the log: an answer, and a failure after its prompt was read."""
    name = "Bartholomew"
    model = f"path:{tiny_llama}"
    with running_pair(Pair(model, model), ["--threads", "1", "--log-level", "debug"], tmp_path) as (sharer, receiver):
        question = QUESTION | {"context": f"{name} ", "prompt": name}
        for more in ({"method": "prefix"}, {"method": "text"}, {"codec": "no-such-codec"}, {"max_new_tokens": 0}):
            await asyncio.to_thread(ask, receiver, question | more)
        told = await asyncio.to_thread(live, receiver)
        sharer_said = (await asyncio.to_thread(fetch, sharer.metrics, "/"))[2]
    assert [(r["method"], r.get("error", {}).get("status")) for r in told["requests"]] == [
        ("prefix", None),
        ("text", None),
        ("prefix", "INVALID_ARGUMENT"),
    ]
    assert told["sharers"] == {"sharer": told["model"]["id"]}
    assert told["totals"]["answers"] == [
        {"method": "prefix", "path": "prefix", "count": 1},
        {"method": "text", "path": "text", "count": 1},
    ]
    assert b'href="/metrics"' in sharer_said
    logs = "".join((tmp_path / f"{side}.log").read_text() for side in ("sharer", "receiver"))
    assert "no-such-codec" in logs
    assert name not in logs
    assert name not in json.dumps(told)


async def test_a_request_over_grpc_is_told_once(pair):
    """After its number, nothing more is told of it."""
    async with pair.receiver_client() as client:
        report = (await client.generate_all(over_grpc("prefix"))).report
    told = (await asyncio.to_thread(live, pair.receiver))["requests"][-1]
    assert told["request_id"] == report.request_id
    assert told["bytes"]["payload_bytes"] == report.bytes.payload_bytes
    assert told["bytes"]["socket_bytes"] == report.bytes.socket_bytes
    assert told["first_token_s"] == pytest.approx(report.stage_s("first_token"))
    assert {stage["side"] for stage in told["stages"]} == {"sharer", "receiver"}
    assert (await asyncio.to_thread(live, pair.receiver, told["number"]))["requests"] == []


def test_a_token_is_demanded_where_there_is_one(tiny_llama, tmp_path):
    """The same as over gRPC; numbers are shown without."""
    (tmp_path / "token").write_text("open sesame\n")
    arguments = ["--model", f"path:{tiny_llama}", *FREE, "--token-file", str(tmp_path / "token")]
    with running_service("receiver_service", arguments, tmp_path / "log") as receiver:
        question = {"method": "receiver_only", "prompt": "hello", "max_new_tokens": 2}
        for headers in ({}, {"Authorization": "Bearer open barley"}):
            status, [line] = ask(receiver, question, **headers)
            assert (status, line["error"]["status"]) == (401, "UNAUTHENTICATED")
        assert ask(receiver, question, Authorization="Bearer open sesame")[0] == 200
        assert live(receiver)["box"]["wants_token"]


def test_a_question_in_flight_is_answered_before_the_end_and_an_open_page_delays_nothing(tiny_llama, tmp_path):
    """As calls over gRPC are; new questions are refused meanwhile."""
    with running_service("receiver_service", ["--model", f"path:{tiny_llama}", *FREE], tmp_path / "log") as receiver:
        host, _, port = receiver.metrics.rpartition(":")
        with socket.create_connection((host, int(port))), asked(receiver, LONG) as (_, answer):
            receiver.process.send_signal(signal.SIGTERM)
            rest = answer.read().splitlines()
        assert "report" in json.loads(rest[-1])
        assert receiver.process.wait(timeout=15) == 0  # what an open page held up would be given 25 s
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_flood_is_refused_as_over_grpc(tiny_llama, tmp_path):
    """One place, two questions."""
    arguments = ["--model", f"path:{tiny_llama}", *FREE, "--max-in-flight", "1"]
    with running_service("receiver_service", arguments, tmp_path / "log") as receiver, asked(receiver, LONG):
        _, [line] = ask(receiver, LONG)
        assert line["error"]["status"] == "RESOURCE_EXHAUSTED"
