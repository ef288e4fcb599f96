"""The HTTP port: routes, refusals, and an end that waits for answers and for nothing else."""

import fcntl
import resource
import socket
import threading
from contextlib import contextmanager
from http import HTTPStatus

import pytest
from prometheus_client import Counter

from kvwire import http_sockets
from kvwire.errors import StartError
from kvwire.http_server import HttpServer, Route, page, reply
from kvwire.http_sockets import GONE
from kvwire.telemetry import Metrics
from tests.over_http import fetch

#: A number that select() does not take.
HIGH = 1024


def echo(environ, start_response):
    return reply(start_response, HTTPStatus.OK, environ["wsgi.input"].read(), "text/plain")


def broken(*_):
    raise RuntimeError


@contextmanager
def serving(routes):
    server = HttpServer("127.0.0.1:0", routes)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def server():
    """Serves a page, an echo, something broken, and metrics."""
    metrics = Metrics("receiver")
    Counter("eaten", "Apples.", registry=metrics.registry).inc(3)
    routes = {"/": page(b"hello", "text/plain"), "/echo": Route(echo, "POST"), "/broken": Route(broken)}
    with serving({**routes, "/metrics": metrics.route()}) as running:
        yield running


def ask_plainly(server, request):
    """Send bytes that no client library would."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


def test_a_page_comes_with_headers_that_allow_nothing_foreign(server):
    """Neither scripts of others nor frames, and no other origin reads it."""
    status, headers, body = fetch(server.address, "/")
    assert (status, body) == (200, b"hello")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def test_head_is_get_without_the_body(server):
    """With the length it would have."""
    status, headers, body = fetch(server.address, "/", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "5")


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_metrics_are_written_in_the_form_that_is_asked_for(server, accept):
    """By prometheus_client, as before."""
    status, headers, body = fetch(server.address, "/metrics", Accept=accept)
    assert status == 200
    assert headers["Content-Type"].startswith(accept.partition(";")[0])
    assert b"eaten_total 3.0" in body
    assert body.endswith(b"# EOF\n") == ("openmetrics" in accept)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/echo", 405),
        ("GET", "/broken", 500),
    ],
)
def test_what_is_not_there_is_refused(server, method, path, status):
    """By path, then by method; what breaks takes nothing else with it."""
    assert fetch(server.address, path, method, b"")[0] == status
    assert fetch(server.address, "/")[0] == 200


def test_a_body_is_read_up_to_64_kib(server):
    """To the byte; whoever sends more gets to read why it was refused."""
    assert fetch(server.address, "/echo", "POST", b"x" * 65536)[::2] == (200, b"x" * 65536)
    assert fetch(server.address, "/echo", "POST", b"x" * 65537)[0] == 413
    assert fetch(server.address, "/echo", "POST", b"x" * 900_000)[0] == 413


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"", b"411"),
        (b"Content-Length: ten\r\n", b"400"),
        (b"Content-Length: -1\r\n", b"400"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"400"),
    ],
)
def test_a_body_without_a_length_is_refused(server, length, status):
    """Nothing is read of it."""
    assert ask_plainly(server, b"POST /echo HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n").split()[1] == status


def test_an_address_that_cannot_be_used_ends_the_start(server):
    """With the option to change."""
    for listen in (server.address, "127.0.0.1:nine", "127.0.0.1:99999", "nowhere.invalid:0"):
        with pytest.raises(StartError, match="--metrics-listen"):
            HttpServer(listen, {})


def test_draining_waits_for_answers_and_takes_no_new_questions():
    """Pages and metrics are still answered."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(_, start_response):
        asked.set()
        go_on.wait(20)
        return reply(start_response, HTTPStatus.OK, b"done", "text/plain")

    with serving({"/slow": Route(slow, "POST"), "/": page(b"hello", "text/plain")}) as server:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(fetch(server.address, "/slow", "POST", b"")[::2]))
        asking.start()
        assert asked.wait(20)
        draining = threading.Thread(target=server.drain, args=(20,))
        draining.start()
        while fetch(server.address, "/slow", "POST", b"")[0] != 503:
            assert draining.is_alive()
        assert fetch(server.address, "/")[0] == 200
        assert draining.is_alive()
        go_on.set()
        draining.join(20)
        asking.join(20)
        assert not draining.is_alive()
        assert answers == [(200, b"done")]


def test_an_idle_connection_delays_no_end():
    """A browser keeps one open on suspicion."""
    with serving({}) as server, socket.create_connection(server.address.rsplit(":", 1)):
        server.drain(20)


def test_a_connection_with_a_high_number_is_looked_at_too():
    """A service with a thousand connections hands such out; select() takes none of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < HIGH + 1:
        pytest.skip(f"this process may have {hard} files at most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, HIGH + 1), hard))
    near, far = socket.socketpair()
    with near, far, socket.socket(fileno=fcntl.fcntl(near, fcntl.F_DUPFD, HIGH)) as high:
        assert not http_sockets._has_closed(high)
        far.close()
        assert http_sockets._has_closed(high)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_answer_is_closed_when_its_reader_has_gone():
    """And is told so while there is nothing to send."""
    gone, closed = threading.Event(), threading.Event()

    def endless(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            yield b"begun\n"
            while not environ[GONE]():
                pass
            gone.set()
        finally:
            closed.set()

    with serving({"/endless": Route(endless, "POST")}) as server:
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"POST /endless HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            received = b""
            while b"begun" not in received:
                received += connection.recv(1000)
            assert not gone.is_set()
        assert gone.wait(20)
        assert closed.wait(20)
