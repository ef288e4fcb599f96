"""The pair that metrics are measured against really counts nothing, and answers all the same."""

import asyncio
from pathlib import Path

import pytest

from bench.services.overhead import pair_of
from bench.services.processor import cpu_s
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.processes import Pair
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
