"""An OpenTelemetry collector that keeps the spans it is sent: OTLP's own gRPC service on loopback."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Span:
    """One span as it came; ids are hexadecimal, ``parent`` is empty at a trace's root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    begun_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    failed: bool
    message: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended_ns - self.begun_ns) / 1e9

    @property
    def layer(self) -> int | None:
        """Of which layer it tells, if of one."""
        return self.attributes.get("kvwire.layer")

    def within(self, other: "Span") -> bool:
        """Whether it lies in another's time."""
        return other.begun_ns <= self.begun_ns <= self.ended_ns <= other.ended_ns


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Spans in the order they came; ``address`` is what services are told."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)

    def Export(  # noqa: N802  # the proto names it
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keep a batch."""
        del context
        for resource in request.resource_spans:
            service = _attributes(resource.resource)["service.name"]
            self.spans += [_span(service, each) for scope in resource.scope_spans for each in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, service: str, name: str | None = None) -> list[Span]:
        """A service's spans, all or those of a name, by their begin."""
        found = [each for each in self.spans if each.service == service and name in (None, each.name)]
        return sorted(found, key=lambda each: each.begun_ns)

    def children(self, parent: Span) -> list[Span]:
        """Spans right under another, by their begin."""
        return sorted((each for each in self.spans if each.parent == parent.id), key=lambda each: each.begun_ns)


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a free port."""
    server, collector = grpc.server(ThreadPoolExecutor(2)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


def _span(service: str, told: trace_pb2.Span) -> Span:
    return Span(
        service=service,
        name=told.name,
        trace=told.trace_id.hex(),
        id=told.span_id.hex(),
        parent=told.parent_span_id.hex(),
        begun_ns=told.start_time_unix_nano,
        ended_ns=told.end_time_unix_nano,
        attributes=_attributes(told),
        failed=told.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        message=told.status.message,
    )


def _attributes(told: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in told.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
