"""Prometheus metrics of a front door, in a registry of their own: what its callers see of it.

What the answers cost, the receiver counts.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, make_wsgi_app

from http_service.answer import End, Piece
from kvwire import __version__
from kvwire.http_server import Route

# Seconds; those of the receiver's kvwire_first_token_seconds, so that the two can be laid over each other.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counted once for a request."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.in_flight = Gauge("kvwire_http_requests_in_flight", "Requests being answered.", registry=self._registry)
        self.requests = Counter(
            "kvwire_http_requests", "Requests that have ended.", ("route", "status"), registry=self._registry
        )
        self._first_token_seconds = Histogram(
            "kvwire_http_first_token_seconds",
            "From a request's arrival to its first token.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)
        Info("kvwire_build", "What runs.", registry=self._registry).info({"version": __version__, "service": "http"})

    async def timed(
        self, route: str, began_s: float, events: AsyncGenerator[Piece | End, None]
    ) -> AsyncGenerator[Piece | End, None]:
        """The same answer; when its first token came is observed."""
        first = True
        async with aclosing(events):
            async for event in events:
                if first and isinstance(event, Piece):
                    self._first_token_seconds.labels(route).observe(time.perf_counter() - began_s)
                first = False
                yield event

    def route(self) -> Route:
        """What answers Prometheus."""
        return Route(make_wsgi_app(self._registry))
