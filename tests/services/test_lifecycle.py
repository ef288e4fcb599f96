"""Starting, stopping and watching a service."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time

import pytest

from bench.services.scrape import Scrape
from kvwire.errors import OverloadedError, StartError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, Text

FREE = ["--threads", "1", *FREE_PORTS]


def scraped(pair):
    return {side: Scrape.of(getattr(pair, side).metrics) for side in ("sharer", "receiver")}


async def test_metrics_count_a_request_on_both_sides(pair):
    """Bytes, tokens, latencies, results and conventional gRPC names."""
    before = scraped(pair)
    async with pair.receiver_client() as receiver:
        request = GenerateRequest(Text("hi"), Text("a fact "), Exchange(codec="int8"), 2, ignore_eos=True)
        moved = (await receiver.generate_all(request)).report.bytes
    counted = {side: found.since(before[side]) for side, found in scraped(pair).items()}
    prefix, int8 = {"method": "prefix"}, {"codec": "int8"}
    for side, name, labels, expected in (
        ("receiver", "kvwire_answers_total", prefix | {"path": "prefix"}, 1),
        ("receiver", "kvwire_wire_bytes_total", int8 | {"counter": "payload"}, moved.payload_bytes),
        ("receiver", "kvwire_wire_bytes_total", int8 | {"counter": "socket"}, moved.socket_bytes),
        ("receiver", "kvwire_first_token_seconds_count", prefix, 1),
        ("receiver", "kvwire_token_interval_seconds_count", prefix, 1),
        ("receiver", "kvwire_answer_nats_count", int8 | {"path": "prefix"}, 1),
        ("receiver", "kvwire_stage_seconds_count", {"side": "sharer", "stage": "wait"}, 1),
        ("receiver", "grpc_server_handled_total", {"grpc_code": "OK", "grpc_method": "Generate"}, 1),
        ("receiver", "grpc_server_msg_sent_total", {"grpc_method": "Generate"}, 3),  # two tokens and the report
        ("sharer", "kvwire_shared_bytes_total", int8, moved.payload_bytes),
        ("sharer", "kvwire_contexts_total", {"known": "nothing"}, 1),
        ("sharer", "grpc_server_handled_total", {"grpc_code": "OK", "grpc_method": "Share"}, 1),
    ):
        assert counted[side].total(name, **labels) == expected, (name, labels)


async def test_metrics_tell_how_unsure_an_answer_was(pair):
    """The mean negative log-likelihood of its tokens."""
    before = Scrape.of(pair.receiver.metrics)
    async with pair.receiver_client() as receiver:
        answer = await receiver.generate_all(
            GenerateRequest(Text("hi"), None, Exchange(Method.RECEIVER_ONLY), 3, ignore_eos=True)
        )
    counted = Scrape.of(pair.receiver.metrics).since(before)
    expected = -sum(token.logprob for token in answer.tokens) / 3
    assert counted.total("kvwire_answer_nats_sum", codec="", path="receiver_only") == pytest.approx(expected, rel=1e-6)


def test_metrics_tell_the_process_and_its_limit(pair):
    """Memory and CPU of the process, and how many requests it takes."""
    for found in scraped(pair).values():
        assert found.total("process_resident_memory_bytes") > 1e6
        assert found.total("process_cpu_seconds_total") > 0
        assert found.total("kvwire_requests_in_flight_limit") == 16


async def test_a_failed_request_is_counted_with_its_status(pair):
    """Errors are labelled by gRPC code."""
    before = Scrape.of(pair.receiver.metrics)
    async with pair.receiver_client() as receiver:
        with pytest.raises(Exception, match="empty"):
            await receiver.generate_all(GenerateRequest(Text(""), None, Exchange(Method.RECEIVER_ONLY)))
    labels = {"grpc_code": "INVALID_ARGUMENT", "grpc_method": "Generate"}
    assert Scrape.of(pair.receiver.metrics).since(before).total("grpc_server_handled_total", **labels) == 1


@pytest.mark.parametrize("option", ["--listen", pytest.param("--metrics-listen", marks=pytest.mark.slow)])
def test_a_port_in_use_ends_the_start_with_a_clear_error(pair, tiny_llama, tmp_path, option):
    """A second service on the same port is a mistake; the first goes on."""
    taken = pair.sharer.address if option == "--listen" else pair.sharer.metrics
    arguments = ["--model", f"path:{tiny_llama}", *FREE, option, taken]
    starting = running_service("sharer_service", arguments, tmp_path / "log")
    with pytest.raises(StartError, match=r"(?s)status 1.*choose another"), starting:
        pytest.fail("started")
    assert pair.sharer.process.poll() is None


def test_an_unknown_model_ends_the_start_with_a_clear_error(tmp_path):
    """The message lists what there is."""
    starting = running_service("sharer_service", ["--model", "gpt-17", *FREE], tmp_path / "log")
    with pytest.raises(StartError, match="smollm2-135m"), starting:
        pytest.fail("started")


@pytest.mark.parametrize("name", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_a_service_with_status_0(tiny_llama, tmp_path, name):
    """Also Ctrl-C is an ordinary way to end."""
    with running_service("sharer_service", ["--model", f"path:{tiny_llama}", *FREE], tmp_path / "log") as service:
        service.process.send_signal(name)
        assert service.process.wait(timeout=20) == 0


def test_a_setting_that_is_wrong_is_named():
    """Status 2, like any command given a wrong option."""
    ran = subprocess.run(
        [sys.executable, "-m", "sharer_service", "--max-tokens", "none"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "max" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_ready_line_is_json_with_the_ports_taken(tiny_llama):
    """Launchers learn free ports from it."""
    arguments = [sys.executable, "-m", "sharer_service", "--model", f"path:{tiny_llama}", *FREE]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        ready = json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(20) == 0
    assert ready["event"] == "ready"
    assert not ready["address"].endswith(":0")


async def test_one_request_too_many_is_refused_at_once(pair):
    """Not when its deadline comes; and a place that becomes free is taken by the next."""
    endless = GenerateRequest(Text("hello"), None, Exchange(Method.RECEIVER_ONLY), 1000, ignore_eos=True)
    short = GenerateRequest(
        Text("hello"), None, Exchange(Method.RECEIVER_ONLY), 1, info=RequestInfo(deadline_ms=60_000)
    )
    async with pair.receiver_client() as receiver:
        streams = [receiver.generate(endless) for _ in range(16)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        begun_s = time.monotonic()
        with pytest.raises(OverloadedError, match="16 requests are in flight, the limit is 16; retry with backoff"):
            await receiver.generate_all(short)
        took_s = time.monotonic() - begun_s
        await asyncio.gather(*(stream.aclose() for stream in streams))
        while True:
            with contextlib.suppress(OverloadedError):
                assert (await receiver.generate_all(short)).tokens
                break
    assert took_s < 1


@pytest.mark.slow
@pytest.mark.parametrize("side", ["sharer", "receiver"])
def test_a_service_that_could_answer_nothing_does_not_start(tiny_llama, tmp_path, side):
    """Ready means that a request would succeed: it has answered one of its own before it says so."""
    arguments = ["--model", f"path:{tiny_llama}", *FREE, "--cache-memory-bytes", "1000"]
    starting = running_service(f"{side}_service", arguments, tmp_path / "log")
    with (
        pytest.raises(StartError, match=r"(?s)cannot answer a request of a few tokens.*raise cache_memory_bytes"),
        starting,
    ):
        pytest.fail("started")
