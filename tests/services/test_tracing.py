"""Traces of two real services, taken by a real collector's gRPC service."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import grpc
import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from kvwire.client import Client
from kvwire.errors import KvwireError
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, Text
from kvwire.rpc import serde
from kvwire.v1 import model_service_pb2_grpc

ASKED = GenerateRequest(
    Text("hi"), Text("a fact "), Exchange(codec="int8"), 3, ignore_eos=True, info=RequestInfo("the-request")
)
LAYERS = 4


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans it is sent, with the name of their service."""

    def __init__(self):
        self.spans = Queue()

    def Export(self, request, context):  # noqa: N802, ARG002  # as the proto names it
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                self.spans.put((names["service.name"], span))
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, service, name=None):
        return [span for owner, span in self.spans.queue if owner == service and name in (None, span.name)]


@pytest.fixture
def collector():
    server = grpc.server(ThreadPoolExecutor(2))
    found = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)
    found.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(None).wait()


def traced(tiny_llama, tmp_path, endpoint, ask):
    """What a pair that traces answered; it has stopped by then, and sent every span."""
    arguments = ["--threads", "1", "--log-level", "warning", "--otlp-endpoint", endpoint]
    with running_pair(Pair(f"path:{tiny_llama}", f"path:{tiny_llama}"), arguments, tmp_path) as (_, receiver):
        return asyncio.run(ask(receiver.address))


async def generate(address):
    async with Client(address) as client:
        return await client.generate_all(ASKED)


def test_one_request_is_one_trace_across_both_services(collector, tiny_llama, tmp_path):
    """The sharer's call is a child of the receiver's; stages and layers are children of their call, within it."""
    report = traced(tiny_llama, tmp_path, collector.address, generate).report
    [generated] = collector.of("kvwire-receiver", "kvwire.v1.ModelService/Generate")
    [shared] = collector.of("kvwire-sharer", "kvwire.v1.SharerService/Share")
    assert shared.parent_span_id == generated.span_id
    assert {span.trace_id for _, span in collector.spans.queue} == {generated.trace_id}
    for service, parent in (("kvwire-receiver", generated), ("kvwire-sharer", shared)):
        children = [span for span in collector.of(service) if span.parent_span_id == parent.span_id]
        assert children
        assert all(parent.start_time_unix_nano <= span.start_time_unix_nano for span in children)
        assert all(span.end_time_unix_nano <= parent.end_time_unix_nano for span in children)
    for service, name in (("sharer", "encode"), ("receiver", "decode_frames"), ("receiver", "place")):
        spans = collector.of(f"kvwire-{service}", name)
        layers = [each.value.int_value for span in spans for each in span.attributes if each.key == "kvwire.layer"]
        assert layers == list(range(LAYERS)), name
        told_s = report.stage_s(name, service)
        assert sum(s.end_time_unix_nano - s.start_time_unix_nano for s in spans) / 1e9 == pytest.approx(
            told_s, abs=1e-4
        )
    said = {each.key: each.value.string_value for each in generated.attributes}
    assert said["rpc.response.status_code"] == "OK"
    assert said["kvwire.request_id"] == "the-request"


def test_a_callers_trace_goes_on(collector, tiny_llama, tmp_path):
    """By W3C's traceparent in the call's metadata."""
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    async def ask(address):
        async with grpc.aio.insecure_channel(address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            call = stub.Generate(serde.generate_to_proto(ASKED), metadata=[("traceparent", f"00-{trace}-{parent}-01")])
            return [event async for event in call]

    assert traced(tiny_llama, tmp_path, collector.address, ask)
    [generated] = collector.of("kvwire-receiver", "kvwire.v1.ModelService/Generate")
    assert (generated.trace_id.hex(), generated.parent_span_id.hex()) == (trace, parent)


def test_a_failed_call_is_a_failed_span(collector, tiny_llama, tmp_path):
    """With its status and its message."""

    async def ask(address):
        async with Client(address) as client:
            with pytest.raises(KvwireError):
                await client.generate_all(GenerateRequest(Text(""), None, Exchange(Method.RECEIVER_ONLY)))

    traced(tiny_llama, tmp_path, collector.address, ask)
    [failed] = collector.of("kvwire-receiver", "kvwire.v1.ModelService/Generate")
    assert failed.status.code == 2
    assert "empty" in failed.status.message


def test_a_collector_that_is_away_keeps_nobody_from_an_answer(tiny_llama, tmp_path):
    """Nobody listens at the discard port."""
    assert len(traced(tiny_llama, tmp_path, "http://127.0.0.1:9", generate).tokens) == 3


def test_without_a_collector_nothing_of_opentelemetry_is_imported():
    """It is an extra, and slow to import."""
    program = (
        "import sys, sharer_service.server, receiver_service.server; from kvwire.tracing import tracer; "
        "tracer('sharer', ''); print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_traces_without_the_extra_are_refused_with_what_to_install():
    """Before anything is served."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from kvwire.tracing import tracer\ntracer('sharer', 'http://127.0.0.1:4317')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'kvwire[otel]'" in done.stderr
