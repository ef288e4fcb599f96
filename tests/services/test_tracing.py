"""Traces of two real services, taken by a real collector's gRPC service."""

import asyncio
import json
import socket
import urllib.request
from dataclasses import dataclass

import grpc
import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext

from bench.services.collector import Collector, running_collector
from kvwire.client import Client
from kvwire.errors import InvalidRequestError, UnavailableError
from kvwire.processes import FREE_PORTS, Pair, running_pair, running_service
from kvwire.report import Report, Scored
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, ScoreRequest, Text
from kvwire.rpc import serde
from kvwire.v1 import model_service_pb2_grpc

LAYERS = 4
GENERATE, SHARE = "kvwire.v1.ModelService/Generate", "kvwire.v1.SharerService/Share"
TOGETHER = "kvwire.v1.ModelService/ScoreTogether"
# A caller's trace, as W3C writes it; 01 asks to keep it, 00 not to.
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# Stages that are sums of many short times, told by an attribute of their call.
SUMS = {"wait"}


def asked(request_id, prompt="hi", method=Method.PREFIX):
    info = RequestInfo(request_id)
    return GenerateRequest(Text(prompt), Text("a fact "), Exchange(method, codec="int8"), 3, ignore_eos=True, info=info)


@dataclass
class Seen:
    """What a collector got of a pair that has stopped, and what its caller knows."""

    collector: Collector
    report: Report
    program: SpanContext

    def call(self, side, name, request_id="the-request"):
        """The one call of a request on a side."""
        named = self.collector.of(f"kvwire-{side}", name)
        [found] = [each for each in named if each.attributes["kvwire.request_id"] == request_id]
        return found


@pytest.fixture(scope="module")
def seen(tiny_llama, tmp_path_factory):
    """Every kind of call once; services that stop have sent every span."""
    model, logs = f"path:{tiny_llama}", tmp_path_factory.mktemp("logs")
    with running_collector() as collector:
        arguments = ["--threads", "1", "--log-level", "warning", "--otlp-endpoint", collector.address]
        with running_pair(Pair(model, model), arguments, logs) as (_, receiver):
            found = asyncio.run(ask_everything(receiver.address))
            ask_over_http(receiver.address, collector.address, logs / "http.log")
        yield Seen(collector, *found)


async def ask_everything(address):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("a program")
    together = [
        ScoreRequest(Text("hi"), (Text(" yes"),), Text("a fact "), Exchange(method, codec="int8"))
        for method in (Method.PREFIX, Method.RECEIVER_ONLY)
    ]
    async with Client(address) as client, grpc.aio.insecure_channel(address) as channel:
        report = (await client.generate_all(asked("the-request"))).report
        with tracer.start_as_current_span("asks") as span:
            await client.generate_all(asked("of-a-program"))
        assert [isinstance(each, Scored) async for each in client.score_together(together)] == [True, True]
        with pytest.raises(InvalidRequestError):
            await client.generate_all(asked("wrong", prompt=""))
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        for request_id, kept in (("of-a-caller", "01"), ("not-kept", "00")):
            metadata = [("traceparent", f"00-{TRACE}-{PARENT}-{kept}")]
            call = stub.Generate(serde.generate_to_proto(asked(request_id)), metadata=metadata)
            assert [event async for event in call]
    return report, span.get_span_context()


def ask_over_http(receiver, endpoint, log):
    """By a front door, as part of a caller's trace."""
    arguments = [*FREE_PORTS, "--receiver", receiver, "--otlp-endpoint", endpoint]
    body = {"prompt": "hi", "max_tokens": 1, "kvwire": {"context": "a fact ", "codec": "int8"}}
    said = {"Content-Type": "application/json", "X-Request-Id": "over-http"}
    said["traceparent"] = f"00-{TRACE}-{PARENT}-01"
    with running_service("http_service", arguments, log) as door:
        asked = urllib.request.Request(f"http://{door.address}/v1/completions", json.dumps(body).encode(), said)
        urllib.request.urlopen(asked, timeout=60).close()  # noqa: S310  # as above


def test_a_front_door_s_request_is_the_parent_of_the_receiver_s_call(seen):
    """And a child of its caller's, by OpenTelemetry's conventions for HTTP."""
    door = seen.call("http", "POST /v1/completions", "over-http")
    generated, shared = (
        seen.call(side, name, "over-http") for side, name in (("receiver", GENERATE), ("sharer", SHARE))
    )
    assert (door.trace, door.parent) == (TRACE, PARENT)
    assert (generated.trace, generated.parent) == (TRACE, door.id)
    assert (shared.trace, shared.parent) == (TRACE, generated.id)
    told = {"http.request.method": "POST", "http.route": "/v1/completions", "http.response.status_code": 200}
    assert door.attributes.items() >= told.items()


def test_one_request_is_one_trace_across_both_services(seen):
    """The sharer's call is a child of the receiver's; everything lies within its parent, by its process's clock."""
    generated, shared = seen.call("receiver", GENERATE), seen.call("sharer", SHARE)
    assert (generated.parent, shared.parent) == ("", generated.id)
    spans = [each for each in seen.collector.spans if each.trace == generated.trace]
    by_id = {each.id: each for each in spans}
    from_receiver = [each for each in spans if each.parent and each.service != by_id[each.parent].service]
    assert {each.name for each in from_receiver} == {SHARE, "kvwire.v1.ModelService/Describe"}
    within = [each for each in spans if each.parent and each not in from_receiver]
    assert within
    assert all(each.within(by_id[each.parent]) for each in within)


def test_every_stage_of_the_report_is_a_span_that_took_as_long(seen):
    """Those with a break between their first stretch and their last tell by an attribute what they took of it."""
    calls = {"receiver": seen.call("receiver", GENERATE), "sharer": seen.call("sharer", SHARE)}
    assert {stage.side for stage in seen.report.stages} == set(calls)
    stages = {
        side: {e.name: e for e in seen.collector.children(c) if e.service == c.service} for side, c in calls.items()
    }
    for stage in seen.report.stages:
        if stage.name in SUMS:
            assert calls[stage.side].attributes[f"kvwire.{stage.name}_s"] == pytest.approx(stage.seconds)
            continue
        span = stages[stage.side][stage.name]
        assert span.attributes["kvwire.spent_s"] == pytest.approx(stage.seconds), stage
        if span.attributes["kvwire.times"] == 1 and stage.name not in ("prefill", "prompt"):  # others run within
            assert span.seconds == pytest.approx(stage.seconds, abs=1e-5), stage
    inner_s = sum(stages["sharer"][name].attributes["kvwire.spent_s"] for name in ("encode", "backpressure"))
    prefill = stages["sharer"]["prefill"]
    assert prefill.seconds == pytest.approx(prefill.attributes["kvwire.spent_s"] + inner_s, abs=1e-5)


@pytest.mark.parametrize(
    ("side", "stage"), [("sharer", "encode"), ("receiver", "decode_frames"), ("receiver", "place")]
)
def test_every_layer_is_a_span_within_its_stage(seen, side, stage):
    """With its number; together they are the report's stage."""
    call = seen.call(side, SHARE if side == "sharer" else GENERATE)
    [whole] = [each for each in seen.collector.children(call) if each.name == stage]
    layers = seen.collector.children(whole)
    assert [each.name for each in layers] == [f"{stage} layer"] * LAYERS
    assert [each.layer for each in layers] == list(range(LAYERS))
    assert all(each.within(whole) for each in layers)
    assert sum(each.seconds for each in layers) == pytest.approx(seen.report.stage_s(stage, side), abs=1e-4)


def test_a_call_tells_what_was_asked_and_what_it_cost(seen):
    """By OpenTelemetry's conventions for RPC, and names of our own."""
    generated, shared = seen.call("receiver", GENERATE), seen.call("sharer", SHARE)
    for span in (generated, shared):
        assert (
            span.attributes.items()
            >= {
                "rpc.system.name": "grpc",
                "rpc.method": span.name,
                "rpc.response.status_code": "OK",
                "kvwire.codec": seen.report.codec,
                "kvwire.payload_bytes": seen.report.bytes.payload_bytes,
            }.items()
        )
    assert generated.attributes["kvwire.method"] == generated.attributes["kvwire.path"] == "prefix"
    assert generated.attributes["kvwire.grpc_bytes"] == seen.report.bytes.grpc_bytes


def test_requests_that_are_scored_together_are_told_of_in_lists(seen):
    """One call, several answers."""
    [scored] = seen.collector.of("kvwire-receiver", TOGETHER)
    assert scored.attributes["kvwire.method"] == ["prefix", "receiver_only"]
    [together] = [each for each in seen.collector.children(scored) if each.name == "together"]
    assert together.attributes["kvwire.times"] == 2


def test_a_callers_traceparent_is_kept(seen):
    """By W3C's header in the call's metadata, whatever the caller is written in."""
    generated, shared = (
        seen.call(side, name, "of-a-caller") for side, name in (("receiver", GENERATE), ("sharer", SHARE))
    )
    assert (generated.trace, generated.parent) == (TRACE, PARENT)
    assert (shared.trace, shared.parent) == (TRACE, generated.id)


def test_a_program_that_traces_asks_within_its_trace(seen):
    """The client passes on the span that is current where it is called."""
    generated = seen.call("receiver", GENERATE, "of-a-program")
    assert (int(generated.trace, 16), int(generated.parent, 16)) == (seen.program.trace_id, seen.program.span_id)


def test_a_trace_that_its_caller_does_not_keep_has_no_spans(seen):
    """On either side."""
    ids = [each.attributes.get("kvwire.request_id") for each in seen.collector.spans]
    assert "of-a-caller" in ids
    assert "not-kept" not in ids


def test_a_call_that_was_wrong_has_its_status_and_is_no_failure_of_ours(seen):
    """As OpenTelemetry's conventions have it for servers."""
    wrong = seen.call("receiver", GENERATE, "wrong")
    assert wrong.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert not wrong.failed


@pytest.mark.slow
async def test_a_call_that_failed_by_our_fault_is_a_failed_span(tiny_llama, tmp_path):
    """Here for want of a sharer."""
    with socket.socket() as nobody, running_collector() as collector:
        nobody.bind(("127.0.0.1", 0))
        own = ["--model", f"path:{tiny_llama}", *FREE_PORTS]
        own += ["--sharers", f"sharer=127.0.0.1:{nobody.getsockname()[1]}", "--otlp-endpoint", collector.address]
        with running_service("receiver_service", own, tmp_path / "log") as receiver:
            async with Client(receiver.address) as client:
                with pytest.raises(UnavailableError):
                    await client.generate_all(asked("the-request"))
    [failed] = collector.of("kvwire-receiver", GENERATE)
    assert failed.failed
    assert "not reachable" in failed.message
    assert failed.attributes["error.type"] == failed.attributes["rpc.response.status_code"] == "UNAVAILABLE"
