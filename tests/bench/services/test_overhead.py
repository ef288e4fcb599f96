"""The pair that metrics are measured against really counts nothing, and answers all the same."""

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.services import overhead
from bench.services.meanwhile import meanwhile
from bench.services.overhead import Asking, by_turns, pair_of
from bench.services.processor import cpu_s
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.errors import LocalError
from kvwire.processes import Pair, RunningService
from kvwire.requests import Exchange, GenerateRequest, Text


@pytest.mark.slow
def test_the_bare_pair_answers_and_counts_nothing(tiny_llama: Path, tmp_path, monkeypatch):
    """Neither answers nor calls nor streams, where a pair as it ships counts one of each."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    monkeypatch.setenv("KVWIRE_THREADS", "1")
    models = Pair(f"path:{tiny_llama}", f"path:{tiny_llama}")
    counted = {}
    for name in ("{}_service", "bench.services.bare.{}"):
        with pair_of(name, models, "info", tmp_path) as (sharer, receiver):
            answer = asyncio.run(_ask(receiver.address))
            assert answer.report.bytes.payload_bytes > 0
            assert cpu_s(receiver) > 0
            found = Scrape.of(receiver.metrics), Scrape.of(sharer.metrics)
            counted[name] = [
                found[0].total("kvwire_answers_total"),
                found[0].total("grpc_server_handled_total", grpc_method="Generate"),
                found[1].total("grpc_server_handled_total", grpc_method="Share"),
                found[1].total("kvwire_shared_bytes_total") > 0,
            ]
    assert list(counted.values()) == [[1, 1, 1, True], [0, 0, 0, False]]


async def _ask(address):
    async with Client(address) as client:
        return await client.generate_all(GenerateRequest(Text("hi"), Text("a fact "), Exchange(), 2, ignore_eos=True))


NOBODY = RunningService("nobody", SimpleNamespace(pid=os.getpid()), "127.0.0.1:9", "")


def test_what_a_request_took_that_was_not_answered_is_no_result():
    """A service that fails takes less than one that answers."""
    with pytest.raises(LocalError, match="was not answered: UnavailableError"):
        by_turns([NOBODY, NOBODY], [NOBODY, NOBODY], Asking(rounds=1, requests=1, codec="int8"))


def test_what_is_done_after_the_last_answer_counts(monkeypatch):
    """Spans are sent in batches, seconds later."""
    spent_s = [0.0]

    class Answered:
        """A driver whose service takes a second for each answer."""

        def __init__(self, *_):
            pass

        async def warm_up(self, _items):
            spent_s[0] += 1

        async def ask(self, _item):
            spent_s[0] += 1
            return SimpleNamespace(result=SimpleNamespace(error=None))

    async def later(seconds):
        spent_s[0] += seconds

    monkeypatch.setattr(overhead, "Driver", Answered)
    monkeypatch.setattr(overhead, "cpu_s", lambda _: spent_s[0])
    monkeypatch.setattr(overhead.asyncio, "sleep", later)
    asking = Asking(rounds=1, requests=4, codec="int8", settled_s=6.0)
    assert asyncio.run(overhead._per_request_s([SimpleNamespace(), NOBODY], asking)) == 2 * (4 + 6) / 4


def test_what_was_to_go_on_meanwhile_and_did_not_is_an_error():
    """The first time that it fails, whatever the block has measured."""
    failed = threading.Event()

    def scrape():
        failed.set()
        raise OSError("nobody answers")

    with pytest.raises(OSError, match="nobody answers"), meanwhile(scrape, 0.001):
        assert failed.wait(10)
