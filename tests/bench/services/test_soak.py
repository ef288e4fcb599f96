"""A soak finds what it is for: lost counts, growing memory; and two real services agree with their client."""

from pathlib import Path

import pytest

from bench.services.accounts import counts, times
from bench.services.scrape import Scrape
from bench.services.soak import Memory, soak
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, Method
from loadtest.driver import Outcome, Plan
from loadtest.open_loop import Sent
from loadtest.scoring import ItemResult

EXACT = ("no error", "requests, receiver", "requests, sharer", "answers", "payload bytes, receiver")
EXACT += ("payload bytes, sharer", "gRPC bytes")


@pytest.mark.slow
def test_two_services_count_what_their_client_saw(tiny_llama: Path, tmp_path, monkeypatch):
    """Requests and bytes exactly, from three processes."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    pair = Pair(f"path:{tiny_llama}", f"path:{tiny_llama}")
    places = ["--max-in-flight", "200"]  # all of them, if this machine is so slow: none is refused
    with running_pair(pair, ["--threads", "1", "--log-level", "warning", *places], tmp_path) as (sharer, receiver):
        services = {"sharer": sharer, "receiver": receiver}
        checks, memory = soak(
            services, Plan(Exchange(Method.PREFIX, codec="int8")), [0.05 * index for index in range(200)]
        )
    found = {each.name: each for each in checks}
    assert min(memory["sharer"].bytes) > 1e6
    assert [name for name in EXACT if not found[name].ok] == []
    assert found["requests, sharer"].found == "client 200, service 200"
    assert {"mean of whole call", "p99 of first token", "memory of the sharer", "tester's lag, p99"} <= set(found)


def test_requests_a_service_never_counted_are_noticed():
    """A client that got no answer agrees with nothing but empty counters."""
    checks = {each.name: each.ok for each in counts([], Scrape({}), Scrape({_handled("Score"): 1.0}))}
    assert not checks["requests, receiver"]
    assert checks["requests, sharer"]


def test_of_answers_that_never_came_there_are_no_times():
    """That all failed is a check of its own, and no crash."""
    failed = [Sent(0.0, 0.0, Outcome(ItemResult("one", 0, error="UNAVAILABLE")))]
    assert list(times(failed, Scrape({}))) == []
    assert not next(counts(failed, Scrape({}), Scrape({}))).ok


def _handled(method):
    return "grpc_server_handled_total", frozenset({"grpc_method": method, "grpc_code": "OK"}.items())


@pytest.mark.parametrize(("per_second_bytes", "flat"), [(0.0, True), (10.0, False)])
def test_memory_that_grows_more_than_it_scatters_is_not_flat(per_second_bytes, flat):
    """A line through the samples after the first fifth."""
    memory = Memory([float(at) for at in range(100)], [1e6 + (at % 2) + per_second_bytes * at for at in range(100)])
    assert memory.check("sharer").ok is flat


def test_a_value_in_the_next_bucket_is_one_apart():
    """By the histogram's own bounds."""
    series = {
        ("t_bucket", frozenset({("le", le)})): count for le, count in [("0.1", 5.0), ("0.5", 9.0), ("+Inf", 10.0)]
    }
    scrape = Scrape(series)
    assert [scrape.buckets_apart("t", 0.5, value) for value in (0.1, 0.11, 0.6)] == [0, 1, 2]
