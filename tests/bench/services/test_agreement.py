"""An independent generator finds the same latencies."""

import subprocess
import sys
import threading
from dataclasses import astuple
from pathlib import Path

import pytest

pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen has wheels for Linux only")

from bench.services import agreement
from bench.services.agreement import compare
from bench.services.mlperf import Measured
from kvwire.errors import KvwireError, LocalError, StartError
from kvwire.requests import Exchange, Method
from kvwire.security import ClientSecurity
from loadtest.client_processes import Target
from loadtest.datasets import load
from loadtest.driver import Plan
from loadtest.intervals import Percentiles

PLAN = Plan(Exchange(Method.PREFIX))


@pytest.fixture
def one_at_a_time():
    """Address of a service in a process of its own, where requests queue."""
    command = [sys.executable, str(Path(__file__).with_name("one_at_a_time.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        yield f"127.0.0.1:{service.stdout.readline().strip()}"
        service.terminate()


@pytest.mark.slow
def test_mlperfs_loadgen_agrees_within_a_twentieth(one_at_a_time):
    """On p50 and p95 of 200 requests that come to a queue half full: most of both is waiting."""
    target = Target(one_at_a_time, ClientSecurity(), PLAN)
    found = compare(target, load("pocket"), rate_rps=15.0, requests=200, seed=1)
    assert found.loadgen.p95 > 100
    assert found.kvwire.p50 == pytest.approx(found.loadgen.p50, rel=0.05), astuple(found)
    assert found.kvwire.p95 == pytest.approx(found.loadgen.p95, rel=0.05), astuple(found)


def test_a_service_that_fails_is_no_agreement():
    """Nobody listens: the comparison ends with an error instead of two equal latencies."""
    target = Target("127.0.0.1:9", ClientSecurity(), PLAN)
    with pytest.raises(KvwireError, match="requests failed"):
        compare(target, load("pocket"), rate_rps=50.0, requests=5, seed=1)


def test_a_request_of_kvwire_s_that_fails_is_no_agreement(monkeypatch):
    """LoadGen was answered; to fail takes no time, which would be the smaller latency."""
    theirs = Measured(Percentiles(40.0, 40.0, 40.0), (0.0, 0.01))
    monkeypatch.setattr(agreement, "run_server_scenario", lambda *_: theirs)
    with pytest.raises(LocalError, match="2 requests failed, the first: UnavailableError"):
        compare(Target("127.0.0.1:9", ClientSecurity(), PLAN), load("pocket"), rate_rps=50.0, requests=2, seed=1)


def test_an_address_that_is_none_leaves_no_thread():
    """Its loop would keep the command from ending."""
    with pytest.raises(StartError, match="has no port"):
        compare(Target("nowhere", ClientSecurity(), PLAN), load("pocket"), rate_rps=50.0, requests=5, seed=1)
    assert "client" not in {thread.name for thread in threading.enumerate()}
