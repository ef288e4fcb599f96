"""Traces of calls: a span per call on each side, its stages within. Nothing unless a collector was named.

This is what services see; only :mod:`kvwire.otel` knows OpenTelemetry, and it is imported only where traces are wanted.
"""

import importlib
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

from kvwire.errors import StartError
from kvwire.progress import Listener

Headers = tuple[tuple[str, str], ...]
Fact = str | int | float


class Span(Protocol):
    """One call that is being answered."""

    @property
    def listener(self) -> Listener | None:
        """What is to hear of the call's stages."""
        ...

    def headers(self) -> Headers:
        """Metadata that makes a call to another service part of this trace."""
        ...

    def tell(self, **facts: Fact) -> None:
        """What is known of a request of this call, once it is answered; units are in the names."""
        ...

    def end(self, code: str, why: str, request_id: str) -> None:
        """The call ended, with the name of a gRPC status or the number of an HTTP one."""
        ...


class Tracer(Protocol):
    """Begins spans."""

    def begin(self, service: str, method: str, metadata: Mapping[str, str]) -> Span:
        """A call came, with what its caller says of a trace."""
        ...

    def begin_http(self, method: str, route: str, headers: Mapping[str, str]) -> Span:
        """A request came over HTTP; its end is told by its status as a number."""
        ...

    def close(self) -> None:
        """Send what is left; takes a bounded time."""
        ...


class NoSpan:
    """Of a service that traces nothing."""

    listener: Listener | None = None

    def headers(self) -> Headers:
        """None."""
        return ()

    def tell(self, **facts: Fact) -> None:
        """Nothing to do."""

    def end(self, code: str, why: str, request_id: str) -> None:
        """Nothing to do."""


class NoTracer:
    """Traces nothing."""

    def begin(self, service: str, method: str, metadata: Mapping[str, str]) -> Span:
        """The one that does nothing."""
        del service, method, metadata
        return _NOTHING

    def begin_http(self, method: str, route: str, headers: Mapping[str, str]) -> Span:
        """The one that does nothing."""
        del method, route, headers
        return _NOTHING

    def close(self) -> None:
        """Nothing to do."""


_NOTHING = NoSpan()

#: Of the call that the running task answers.
span: ContextVar[Span] = ContextVar("span", default=_NOTHING)


def tracer(service: str, endpoint: str) -> Tracer:
    """A tracer that sends to a collector at ``http://host:port``, or none where no collector is named.

    Raises:
        StartError: OpenTelemetry is not installed.
    """
    if not endpoint:
        return NoTracer()
    try:
        from kvwire.otel import OtelTracer  # noqa: PLC0415  # an optional extra, and slow to import
    except ModuleNotFoundError as error:
        raise StartError(f"traces need {error.name}; install it with: pip install 'kvwire[otel]'") from error
    return OtelTracer(service, endpoint)


def callers_headers() -> Headers:
    """Metadata that makes a call part of the trace of the call that is answered, or of the one a program is in.

    None where OpenTelemetry is not used.
    """
    own = span.get().headers()
    if own or "opentelemetry.trace" not in sys.modules:
        return own
    said: dict[str, str] = {}
    importlib.import_module("opentelemetry.propagate").inject(said)
    return tuple(said.items())
