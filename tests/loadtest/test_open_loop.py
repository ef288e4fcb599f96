"""The open loop: requests go out when they are due, and a stall is in the latencies of all that fell into it."""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from kvwire.client import Client
from kvwire.processes import Pair, running_pair
from kvwire.report import Report, Token
from kvwire.requests import Exchange, Method
from kvwire.rpc import answer_serde
from kvwire.v1 import model_service_pb2, model_service_pb2_grpc
from loadtest.arrivals import Load, schedule
from loadtest.datasets import load
from loadtest.driver import Driver, Outcome, Plan
from loadtest.goodput import Slo, goodput_rps
from loadtest.load_report import LoadRun, summarize_load
from loadtest.open_loop import Sent, open_loop
from loadtest.scoring import failed

KVWIRE = str(Path(sys.executable).with_name("kvwire"))
ITEMS = load("pocket", limit=4)
STALL_S = 0.6


class Stalling(model_service_pb2_grpc.ModelServiceServicer):
    """Answers at once, but for one stall in which it answers nobody."""

    def __init__(self):
        self.begin = asyncio.get_running_loop().time() + 0.4
        self.end = self.begin + STALL_S

    async def Generate(self, request, context):  # noqa: N802, ARG002  # as the proto names it
        loop, free = asyncio.get_running_loop(), asyncio.Event()
        if self.begin <= loop.time() < self.end:
            loop.call_at(self.end, free.set)
            await free.wait()
        yield model_service_pb2.GenerateResponse(token=answer_serde.token_to_proto(Token(1, "A", -0.1)))
        yield model_service_pb2.GenerateResponse(
            report=answer_serde.report_to_proto(Report(request.info.request_id, Method.PREFIX, Method.PREFIX))
        )


@pytest.fixture
async def stalling():
    server = grpc.aio.server()
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Stalling(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_stall_is_in_the_percentiles(stalling):
    """Of 140 requests over 1.4 s those due in the stall of 0.6 s waited for its end: 0.3 s in the mean, 0.6 s at most.

    A tester that waits for each answer would have sent one request into it.
    """
    due = schedule(Load("constant", 100.0, 1.41))
    async with Client(stalling) as client:
        driver = Driver(client, Plan(Exchange(Method.PREFIX), scoring="letter", warmup=0))
        sent = await open_loop(driver.ask, ITEMS, due, time.monotonic(), lambda _: None)
    waited = sorted(each.total_s for each in sent if each.total_s > 0.05)
    assert len(sent) == 140
    assert 45 <= len(waited) <= 75
    assert waited[-1] == pytest.approx(STALL_S, abs=0.1)
    assert waited[len(waited) // 2] == pytest.approx(STALL_S / 2, abs=0.1)


async def test_nobody_waits_for_an_answer():
    """A service that never answers in time gets every request when it is due."""
    began, all_began, free = [], asyncio.Event(), asyncio.Event()

    async def ask(item):
        began.append(time.monotonic())
        if len(began) == 3:
            all_began.set()
        await free.wait()
        return Outcome(failed(item, InvalidAnswerError("none")))

    start = time.monotonic()
    running = asyncio.create_task(open_loop(ask, ITEMS, (0.0, 0.05, 0.1), start, lambda _: None))
    await all_began.wait()
    free.set()
    sent = await running
    assert [each.due_s for each in sent] == [0.0, 0.05, 0.1]
    assert all(0 <= each.lag_s < 0.05 for each in sent)


class InvalidAnswerError(Exception):
    """What a test's requests end with."""


def sent_of(*, lag_s=0.0, first_s=0.1, total_s=0.2, itl_s=(), ok=True):
    result = failed(ITEMS[0], InvalidAnswerError("x"))
    return Sent(1.0, lag_s, Outcome(replace(result, error=None if ok else "x"), None, first_s, total_s, itl_s))


@pytest.mark.parametrize(
    ("slo", "sent", "met"),
    [
        ("", sent_of(), True),
        ("", sent_of(ok=False), False),
        ("ttft=100ms", sent_of(), True),
        ("ttft=100ms", sent_of(lag_s=0.01), False),
        ("e2e=0.2s,ttft=1s", sent_of(), True),
        ("e2e=0.1s", sent_of(), False),
        ("itl=20ms", sent_of(itl_s=(0.01, 0.03)), True),
        ("itl=20ms", sent_of(itl_s=(0.01, 0.04)), False),
    ],
)
def test_goodput_counts_what_was_promised(slo, sent, met):
    """From when a request was due; a failed one is never good."""
    assert Slo.parse(slo).met(sent) is met
    assert goodput_rps([sent, sent], Slo.parse(slo), 4.0) == (0.5 if met else 0)


@pytest.mark.parametrize("text", ["ttft", "ttft=3", "speed=1s", "ttft=1s,ttft=2s"])
def test_a_promise_nobody_understands_is_refused(text):
    """With what can be promised."""
    with pytest.raises(Exception, match="ttft=300ms"):
        Slo.parse(text)


def test_a_late_tester_says_so():
    """Its percentiles would be of itself."""
    run = LoadRun(Load("constant", 1.0, 4.0), Slo(), 0.0, 1)
    plan = Plan(Exchange(Method.PREFIX))
    assert summarize_load({}, plan, run, {}, [sent_of()] * 4)["valid"] is True
    late = summarize_load({}, plan, run, {}, [sent_of()] * 3 + [sent_of(lag_s=0.02)])
    assert late["valid"] is False
    assert late["ttft_ms"]["p50"] == pytest.approx(100)


def test_the_warm_up_does_not_count():
    """Neither in percentiles nor in rates."""
    run = LoadRun(Load("constant", 1.0, 4.0), Slo(), 2.0, 1)
    early = Sent(1.0, 0.0, sent_of(total_s=9.0).outcome)
    counted = Sent(3.0, 0.0, sent_of().outcome)
    result = summarize_load({}, Plan(Exchange(Method.PREFIX)), run, {}, [early, counted])
    assert result["items"] == 1
    assert result["e2e_ms"]["p99"] == pytest.approx(200)
    assert result["answered_rps"] == 0.5


@pytest.mark.parametrize("processes", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_the_command_drives_a_pair_at_a_rate(tiny_llama, tmp_path, monkeypatch, processes):
    """From one process or several; a line per request with both services' stages."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    model = f"path:{tiny_llama}"
    arguments = ["loadtest", "--scoring", "letter", "--codec", "int8", "--slo", "e2e=10s", "--warm-up", "0.3"]
    arguments += ["--arrivals", "constant", "--rate", "5", "--duration", "1.3", "--processes", processes]
    with running_pair(Pair(model, model), ["--threads", "1", "--log-level", "warning"], tmp_path) as (_, receiver):
        files = ["--json", tmp_path / "out.json", "--requests", tmp_path / "requests.jsonl"]
        files += ["--html", tmp_path / "load.html"]
        ran = subprocess.run(
            [KVWIRE, *arguments, "--receiver", receiver.address, *files], capture_output=True, text=True, check=False
        )
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["items"], result["failed"]) == (5, 0)
    assert result["goodput"]["share"] == 1
    assert set(result["scheduler_lag_ms"]) == set(result["itl_ms"]) == {"p50", "p95", "p99"}
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [line["due_s"] for line in lines] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    assert len({line["request_id"] for line in lines}) == 6
    assert all({"sharer.prefill", "receiver.place"} <= line["stages_ms"].keys() for line in lines)
    assert "goodput" in ran.stdout
    page = (tmp_path / "load.html").read_text()
    assert page.count("<svg") == 4
    assert "pocket" in page or "prefix int8" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("slo", ["ttft=5s", "ttft=0ms"])
@pytest.mark.slow
def test_the_command_searches_the_capacity(tiny_llama, tmp_path, monkeypatch, slo):
    """From its rate on; whatever this machine keeps, the result names a rate that was tried, and all probes."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    model = f"path:{tiny_llama}"
    arguments = ["loadtest", "--codec", "int8", "--find-capacity", "--arrivals", "constant"]
    arguments += ["--rate", "40", "--duration", "0.2", "--slo", slo]
    with running_pair(Pair(model, model), ["--threads", "1", "--log-level", "warning"], tmp_path) as (_, receiver):
        command = [KVWIRE, *arguments, "--receiver", receiver.address, "--json", tmp_path / "out.json"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    rates = [probe["rate_rps"] for probe in result["probes"]]
    assert rates[0] == 40
    assert len(rates) > 2
    assert result["capacity_rps"] in ({0.0} if slo == "ttft=0ms" else {0.0, *rates})
    assert "capacity" in ran.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--find-capacity", "--arrivals", "poisson"], "--slo"),
        (["--find-capacity", "--arrivals", "trace:x", "--slo", "e2e=1s"], "at a rate"),
        (["--requests", "x", "--slo", "e2e=1s"], "--slo, --requests: of an open loop; give --arrivals"),
        (["--processes", "2", "--ramp-to", "0"], "--ramp-to, --processes: of an open loop"),
        (["--arrivals", "poisson", "--slo", "e2e=1s", "--find-capacity", "--html", "x"], "leave --find-capacity out"),
        (["--arrivals", "poisson", "--slo", "itl=9ms"], "add --scoring letter"),
        (["--arrivals", "constant", "--duration", "9", "--warm-up", "9"], "shorten it"),
    ],
)
def test_options_that_contradict_are_refused(options, said):
    """Before anything is started; none of them is left unheard."""
    ran = subprocess.run([KVWIRE, "loadtest", *options], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert said in " ".join(ran.stderr.split())
