"""Around every request: it is counted by route and status, and is a span, within which the receiver is asked."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from http_service.metrics import Metrics
from kvwire.logs import request_id
from kvwire.tracing import Tracer, span

# What is counted together, so that strangers cannot make up label values.
_NO_ROUTE = "none"

# Who hung up before an answer began was sent none; the status that proxies log for it.
_HUNG_UP = 499


class Watched:
    """Counts and traces; health probes are counted only."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route], metrics: Metrics, tracer: Tracer) -> None:
        self._app = app
        self._routes = routes
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route, status = self._route(scope), _HUNG_UP

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        traced = route not in (_NO_ROUTE, "/health")
        if traced:
            span.set(self._tracer.begin_http(scope["method"], route, Headers(scope=scope)))
        try:
            with self._metrics.in_flight.track_inprogress():
                await self._app(scope, receive, sent)
        finally:
            self._metrics.requests.labels(route, str(status)).inc()
            if traced:
                span.get().end(str(status), "", request_id.get())

    def _route(self, scope: Scope) -> str:
        """The path of a route, as it is written."""
        found = (each.path for each in self._routes if each.matches(scope)[0] is not Match.NONE)
        return next(found, _NO_ROUTE)
