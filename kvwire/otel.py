"""Traces by OpenTelemetry: spans are made once a call has ended, from what its stopwatch told, and sent in batches.

Names follow OpenTelemetry's semantic conventions for RPC and HTTP (1.45). Times are of this process's clock alone.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kvwire import __version__
from kvwire.progress import Listener, Stretch
from kvwire.tracing import Fact, Headers, Span

_PROPAGATOR = TraceContextTextMapPropagator()
# Requests in flight may take 25 s after SIGTERM, and Kubernetes kills after 30.
_FLUSH_S = 3.0
_NS_PER_S = 1e9
# Where the service is at fault. The conventions leave a span unset that failed by its caller's doing.
_OWN_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


@dataclass(frozen=True)
class _Convention:
    """How a kind of call tells its end: by which attribute, of what type, and where the service is at fault."""

    attribute: str
    value: Callable[[str], Fact]
    own_fault: Callable[[str], bool]


_RPC = _Convention("rpc.response.status_code", str, _OWN_FAULTS.__contains__)
_HTTP = _Convention("http.response.status_code", int, lambda status: status >= "500")


class OtelTracer:
    """Makes and sends spans on threads of its own; a collector that is away costs nothing but the spans."""

    def __init__(self, service: str, endpoint: str) -> None:
        resource = Resource.create({"service.name": f"kvwire-{service}", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(endpoint, insecure=urlsplit(endpoint).scheme != "https")
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("kvwire", __version__)
        # A request of 30 layers has some 70 spans, which take a millisecond: too long for the event loop.
        self._maker = ThreadPoolExecutor(1, "spans")

    def begin(self, service: str, method: str, metadata: Mapping[str, str]) -> Span:
        """A span that goes on its caller's trace, if there is one."""
        name = f"{service}/{method}"
        began = _Began(name, {"rpc.system.name": "grpc", "rpc.method": name}, metadata)
        return _OtelSpan(self._tracer, self._maker, began, _RPC)

    def begin_http(self, method: str, route: str, headers: Mapping[str, str]) -> Span:
        """The same of a request over HTTP."""
        facts = {"http.request.method": method, "http.route": route}
        return _OtelSpan(self._tracer, self._maker, _Began(f"{method} {route}", facts, headers), _HTTP)

    def close(self) -> None:
        """Send what is left, for at most ``_FLUSH_S``."""
        self._maker.shutdown()
        # The SDK would wait for every batch by itself; an exporter that was shut down gives up what it is at.
        hurry = threading.Timer(_FLUSH_S, self._exporter.shutdown)
        hurry.start()
        self._provider.shutdown()
        hurry.cancel()


@dataclass(frozen=True)
class _Began:
    """What is known of a call when it comes."""

    name: str
    facts: Mapping[str, str]
    metadata: Mapping[str, str]


class _OtelSpan:
    def __init__(self, tracer: trace.Tracer, maker: ThreadPoolExecutor, began: _Began, convention: _Convention) -> None:
        self._tracer = tracer
        self._maker = maker
        self._convention = convention
        # One reading of both clocks: stages are told by the one that never jumps.
        begun_s = time.perf_counter()
        self._epoch_ns = time.time_ns() - int(begun_s * _NS_PER_S)
        self._stretches: list[Stretch] = []
        self._facts: dict[str, list[Fact]] = {}
        self._span = tracer.start_span(
            began.name,
            context=_PROPAGATOR.extract(began.metadata),
            kind=trace.SpanKind.SERVER,
            attributes=began.facts,
            start_time=self._ns(begun_s),
        )

    @property
    def listener(self) -> Listener | None:
        """Keeps what it hears, if the trace is kept at all."""
        return self._stretches.append if self._span.is_recording() else None

    def headers(self) -> Headers:
        """``traceparent``, and what else the trace has to say."""
        said: dict[str, str] = {}
        _PROPAGATOR.inject(said, trace.set_span_in_context(self._span))
        return tuple(said.items())

    def tell(self, **facts: Fact) -> None:
        """Attributes; of a call of several requests, lists of them."""
        for name, fact in facts.items():
            self._facts.setdefault(f"kvwire.{name}", []).append(fact)

    def end(self, code: str, why: str, request_id: str) -> None:
        """End, and leave the spans within to be made."""
        ended_ns = self._ns(time.perf_counter())
        self._span.set_attribute(self._convention.attribute, self._convention.value(code))
        if request_id:
            self._span.set_attribute("kvwire.request_id", request_id)
        for name, facts in self._facts.items():
            self._span.set_attribute(name, facts[0] if len(facts) == 1 else facts)
        if self._convention.own_fault(code):
            self._span.set_attribute("error.type", code)
            self._span.set_status(trace.StatusCode.ERROR, why)
        self._span.end(ended_ns)
        self._maker.submit(self._make)

    def _make(self) -> None:
        """A span for each stage, from its first stretch to its last; those of single layers are spans within it."""
        stages: dict[str, list[Stretch]] = {}
        for each in self._stretches:
            stages.setdefault(each.stage, []).append(each)
        for name, stretches in stages.items():
            stage = self._tracer.start_span(
                name,
                trace.set_span_in_context(self._span),
                start_time=self._ns(min(each.begun_s for each in stretches)),
                attributes={
                    "kvwire.spent_s": sum(each.spent_s for each in stretches),
                    "kvwire.times": len(stretches),
                },
            )
            for each in stretches:
                if each.layer is not None:
                    self._tracer.start_span(
                        f"{name} layer",
                        trace.set_span_in_context(stage),
                        start_time=self._ns(each.begun_s),
                        attributes={"kvwire.layer": each.layer},
                    ).end(self._ns(each.ended_s))
            stage.end(self._ns(max(each.ended_s for each in stretches)))

    def _ns(self, at_s: float) -> int:
        return self._epoch_ns + int(at_s * _NS_PER_S)
