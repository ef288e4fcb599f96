"""What is counted and traced around requests, whatever answers them."""

from collections.abc import Iterable

import pytest
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from http_service.answer import Piece
from http_service.app import application
from http_service.metrics import Metrics
from http_service.receiver import Receiver
from http_service.watched import Watched
from kvwire.tracing import NoSpan, NoTracer, callers_headers


class Spans(NoTracer, NoSpan):
    """Keeps what began and how it ended."""

    def __init__(self) -> None:
        self.told: list[Iterable[str]] = []

    def begin_http(self, method, route, headers):
        self.told.append((method, route, headers.get("traceparent", "")))
        return self

    def headers(self):
        return (("traceparent", "of the front door"),)

    def end(self, code, *_):
        self.told.append((code,))


@pytest.fixture
def watched():
    """A front door with two paths; one shows what a call of the receiver would carry."""

    async def asked(_):
        return PlainTextResponse(str(dict(callers_headers())))

    async def health(_):
        return PlainTextResponse("unwell", 503)

    metrics, spans = Metrics(), Spans()
    routes = [Route("/v1/models/{id:path}", asked), Route("/health", health)]
    return TestClient(Watched(Starlette(routes=routes), routes, metrics, spans)), metrics, spans


def shown(metrics):
    return generate_latest(metrics._registry).decode().splitlines()


def test_requests_are_counted_by_route_and_status(watched):
    """By the route as it is written, and strangers' paths together: nobody makes up a label."""
    client, metrics, _ = watched
    for path in ("/v1/models/one", "/v1/models/two", "/health", "/strange", "/stranger"):
        client.get(path)
    client.post("/health")
    counted = {line for line in shown(metrics) if line.startswith("kvwire_http_requests_total")}
    assert counted == {
        'kvwire_http_requests_total{route="/v1/models/{id:path}",status="200"} 2.0',
        'kvwire_http_requests_total{route="/health",status="503"} 1.0',
        'kvwire_http_requests_total{route="/health",status="405"} 1.0',
        'kvwire_http_requests_total{route="none",status="404"} 2.0',
    }


async def test_who_hangs_up_within_a_body_is_counted_as_one_who_hung_up():
    """No fault of the front door's: an alarm on failures does not go off."""
    metrics = Metrics()
    comes = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(comes)

    async def send(_):
        pass

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "query_string": b""}
    scope["headers"] = [(b"content-type", b"application/json")]
    await application(Receiver(client=None), metrics, NoTracer(), 1000)(scope, receive, send)
    assert 'kvwire_http_requests_total{route="/v1/completions",status="499"} 1.0' in shown(metrics)


def test_a_request_is_in_flight_until_its_answer_ends():
    """And not after."""
    metrics = Metrics()
    during = []

    async def asked(_):
        during.extend(line for line in shown(metrics) if line.startswith("kvwire_http_requests_in_flight "))
        return PlainTextResponse("")

    routes = [Route("/", asked)]
    TestClient(Watched(Starlette(routes=routes), routes, metrics, NoTracer())).get("/")
    assert during == ["kvwire_http_requests_in_flight 1.0"]
    assert "kvwire_http_requests_in_flight 0.0" in shown(metrics)


def test_a_request_is_a_span_within_which_the_receiver_is_asked(watched):
    """It goes on its caller's trace, and the calls it makes go on its own; probes are not traced."""
    client, _, spans = watched
    answer = client.get("/v1/models/one", headers={"traceparent": "of the caller"})
    client.get("/health")
    client.get("/strange")
    assert spans.told == [("GET", "/v1/models/{id:path}", "of the caller"), ("200",)]
    assert answer.text == "{'traceparent': 'of the front door'}"


async def test_the_time_to_the_first_piece_is_observed_once():
    """From when the request came."""

    async def pieces():
        yield Piece("a")
        yield Piece("b")

    metrics = Metrics()
    assert [each.text async for each in metrics.timed("/v1/completions", 0.0, pieces())] == ["a", "b"]
    assert 'kvwire_http_first_token_seconds_count{route="/v1/completions"} 1.0' in shown(metrics)
