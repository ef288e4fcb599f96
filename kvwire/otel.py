"""Traces by OpenTelemetry: spans are made when a call has ended, from what its stopwatch told; a thread sends them.

Names follow OpenTelemetry's semantic conventions for RPC. Times are of this process's clock alone.
"""

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kvwire import __version__
from kvwire.progress import Listener
from kvwire.tracing import Headers, Span

_PROPAGATOR = TraceContextTextMapPropagator()
# What is sent at the end must not hold up a stop for longer than callers in flight may take.
_FLUSH_MS = 5000
_NS_PER_S = 1e9


class OtelTracer:
    """Sends to a collector, in batches, from a thread of its own; one that is away costs nothing but the spans."""

    def __init__(self, service: str, endpoint: str) -> None:
        resource = Resource.create({"service.name": f"kvwire-{service}", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint, insecure=urlsplit(endpoint).scheme != "https", timeout=_FLUSH_MS // 1000)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("kvwire", __version__)

    def begin(self, service: str, method: str, metadata: Mapping[str, str]) -> Span:
        """A span that goes on its caller's trace, if there is one."""
        return _OtelSpan(self._tracer, service, method, metadata)

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()


class _OtelSpan:
    def __init__(self, tracer: trace.Tracer, service: str, method: str, metadata: Mapping[str, str]) -> None:
        self._tracer = tracer
        # From one reading of both clocks: stages are told by the one that never jumps.
        self._epoch_ns = time.time_ns() - time.perf_counter() * _NS_PER_S
        self._stretches: list[tuple[str, int | None, float, float]] = []
        self._span = tracer.start_span(
            f"{service}/{method}",
            context=_PROPAGATOR.extract(metadata),
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )

    @property
    def listener(self) -> Listener | None:
        """Keeps what it hears, if the trace is kept at all."""
        return self._heard if self._span.is_recording() else None

    def headers(self) -> Headers:
        """``traceparent``, and what else the trace has to say."""
        said: dict[str, str] = {}
        _PROPAGATOR.inject(said, trace.set_span_in_context(self._span))
        return tuple(said.items())

    def end(self, code: str, why: str, request_id: str) -> None:
        """Make a span of every stretch, and end."""
        within = trace.set_span_in_context(self._span)
        for name, layer, begun_s, ended_s in self._stretches:
            attributes = {} if layer is None else {"kvwire.layer": layer}
            child = self._tracer.start_span(name, within, start_time=self._ns(begun_s), attributes=attributes)
            child.end(self._ns(ended_s))
        self._span.set_attribute("rpc.response.status_code", code)
        if request_id:
            self._span.set_attribute("kvwire.request_id", request_id)
        if code != "OK":
            self._span.set_status(trace.StatusCode.ERROR, why)
        self._span.end()

    def _heard(self, name: str, layer: int | None, begun_s: float, ended_s: float) -> None:
        self._stretches.append((name, layer, begun_s, ended_s))

    def _ns(self, at_s: float) -> int:
        return int(self._epoch_ns + at_s * _NS_PER_S)
