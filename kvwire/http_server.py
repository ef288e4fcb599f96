"""The HTTP port of a service: its metrics and whatever else it shows, each request on a thread of its own.

Everything is served by WSGI applications, by exact path. Nothing of it runs on the event loop.
"""

import io
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kvwire.errors import StartError
from kvwire.http_sockets import SocketServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

# A question with its context is a few kilobytes; the models read no more than some ten thousand tokens.
_MAX_BODY_BYTES = 64 * 1024

# No body has a length of so many digits.
_MAX_LENGTH_DIGITS = 18

# What is read and thrown away of a body that is too large, so that its sender gets to read why it was refused.
_MAX_DISCARDED_BYTES = 1024 * 1024

_HEADERS = [
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


@dataclass(frozen=True)
class Route:
    """What answers a path, and the one method it takes; GET includes HEAD."""

    app: "WSGIApplication"
    method: str = "GET"


def page(body: bytes, content_type: str) -> Route:
    """A route that always answers with the same bytes."""

    def app(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return reply(start_response, HTTPStatus.OK, body, content_type)

    return Route(app)


def reply(
    start_response: "StartResponse", status: HTTPStatus, body: bytes, content_type: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    """Answer a WSGI request as a whole; no browser keeps it."""
    start_response(
        f"{status.value} {status.phrase}", [("Content-Type", content_type), ("Cache-Control", "no-store"), *headers]
    )
    return [body]


class HttpServer:
    """Serves routes at ``host:port`` from its making until :meth:`close`; port 0 takes a free one.

    Raises:
        StartError: The address cannot be used.
    """

    def __init__(self, listen: str, routes: Mapping[str, Route]) -> None:
        host, _, port = listen.rpartition(":")
        self._routes = dict(routes)
        self._posts = _Posts()
        try:
            self._server = SocketServer(host.strip("[]"), int(port))
        except (OSError, OverflowError, ValueError) as error:  # OverflowError: a port beyond 65535
            raise StartError(f"cannot serve metrics at {listen}: {error}; choose another --metrics-listen") from error
        self.address = f"{host}:{self._server.server_port}"
        self._server.set_app(self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def drain(self, within_s: float) -> None:
        """Refuse new POST requests and wait for those in flight, so long at most; GET is still answered."""
        self._posts.drain(within_s)

    def close(self) -> None:
        """Stop listening. Answers on their way are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, headers + _HEADERS, *more)

        asked = environ["REQUEST_METHOD"]
        try:
            route = self._routes.get(environ["PATH_INFO"])
            if route is None:
                return _refused(started, HTTPStatus.NOT_FOUND)
            if route.method == "GET":
                return _got(route.app, environ, started)
            if asked != route.method:
                return _refused(started, HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", route.method))
            return self._posted(route.app, environ, started)
        except Exception:  # noqa: BLE001  # whatever a page meets, its reader gets an answer and the log the rest
            _log.exception("unexpected error in %s %s", asked, environ["PATH_INFO"])
            return _refused(started, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _posted(
        self, app: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        refusal = _take_body(environ)
        if refusal is not None:
            return _refused(start_response, refusal)
        if not self._posts.begin():
            return _refused(start_response, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return _Answer(app(environ, start_response), self._posts.end)
        except Exception:  # whatever it is, raised again: the place is free
            self._posts.end()
            raise


def _got(app: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer GET, and HEAD with the same headers and no body."""
    asked = environ["REQUEST_METHOD"]
    if asked not in {"GET", "HEAD"}:
        return _refused(start_response, HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def begin(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        begun.append((status, headers))

    environ["REQUEST_METHOD"] = "GET"
    body = b"".join(app(environ, begin))
    [(status, headers)] = begun
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body] if asked == "GET" else []


def _refused(start_response: "StartResponse", status: HTTPStatus, *headers: tuple[str, str]) -> Iterable[bytes]:
    body = f"{status.value} {status.phrase}\n".encode()
    return reply(start_response, status, body, "text/plain", ("Content-Length", str(len(body))), *headers)


def _take_body(environ: "WSGIEnvironment") -> HTTPStatus | None:
    """Read a request's body whole; its refusal if that cannot be done."""
    announced = environ.get("CONTENT_LENGTH", "")
    if not announced:
        return HTTPStatus.LENGTH_REQUIRED
    if not (announced.isascii() and announced.isdecimal() and len(announced) <= _MAX_LENGTH_DIGITS):
        return HTTPStatus.BAD_REQUEST
    length, sent = int(announced), environ["wsgi.input"]
    if length > _MAX_BODY_BYTES:
        sent.read(min(length, _MAX_DISCARDED_BYTES))
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    body = sent.read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return None if len(body) == length else HTTPStatus.BAD_REQUEST


class _Posts:
    """Counts the POST requests in flight."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_flight = 0
        self._draining = False

    def begin(self) -> bool:
        """Count one more; False if no more are taken."""
        with self._changed:
            self._in_flight += not self._draining
            return not self._draining

    def end(self) -> None:
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def drain(self, within_s: float) -> None:
        with self._changed:
            self._draining = True
            self._changed.wait_for(lambda: self._in_flight == 0, within_s)


class _Answer:
    """An answer's parts, and what is done when the last was sent or its reader has gone."""

    def __init__(self, parts: Iterable[bytes], end: Callable[[], None]) -> None:
        self._parts = parts
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        try:
            if isinstance(self._parts, Generator):
                self._parts.close()
        finally:
            self._end()
