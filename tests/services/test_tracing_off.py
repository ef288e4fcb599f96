"""Traces that nobody can take hold up no answer, and services that make none load nothing for it."""

import asyncio
import os
import socket

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from kvwire.client import Client
from kvwire.errors import StartError
from kvwire.processes import FREE_PORTS, Pair, running_pair, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text

pytestmark = pytest.mark.slow

QUIET = ["--threads", "1", "--log-level", "warning"]


async def answered(address):
    """The tokens of an answer from a sharer's cache."""
    request = GenerateRequest(Text("hi"), Text("a fact "), Exchange(Method.PREFIX, codec="int8"), 3, ignore_eos=True)
    async with Client(address) as client:
        return (await client.generate_all(request)).tokens


def test_a_collector_that_is_no_use_keeps_nobody_from_an_answer(tiny_llama, tmp_path):
    """The sharer's takes connections and never says a word, the receiver's refuses them."""
    with socket.socket() as silent, socket.socket() as nobody:
        for each in (silent, nobody):
            each.bind(("127.0.0.1", 0))
        silent.listen()
        told = [["--otlp-endpoint", f"http://127.0.0.1:{each.getsockname()[1]}"] for each in (silent, nobody)]
        with running_pair(Pair(f"path:{tiny_llama}", f"path:{tiny_llama}"), QUIET, tmp_path, *told) as (_, receiver):
            assert len(asyncio.run(answered(receiver.address))) == 3


def test_services_that_trace_nothing_import_nothing_of_opentelemetry(tiny_llama, tmp_path, monkeypatch):
    """Python itself tells what running services imported; one that traces did import it."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with running_pair(Pair(f"path:{tiny_llama}", f"path:{tiny_llama}"), QUIET, tmp_path) as (_, receiver):
        asyncio.run(answered(receiver.address))
    assert ["opentelemetry" in (tmp_path / f"{side}.log").read_text() for side in ("sharer", "receiver")] == [False] * 2
    tracing = ["--model", f"path:{tiny_llama}", *FREE_PORTS, "--otlp-endpoint", "http://127.0.0.1:4317"]
    with running_service("sharer_service", tracing, tmp_path / "tracing.log"):
        pass
    assert "opentelemetry" in (tmp_path / "tracing.log").read_text()


def test_traces_without_the_extra_are_refused_with_what_to_install(tmp_path, monkeypatch):
    """Before a model is loaded: there is none of that name."""
    (tmp_path / "opentelemetry.py").write_text("raise ModuleNotFoundError(name='opentelemetry')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    arguments = ["--model", "no-such-model", "--otlp-endpoint", "http://127.0.0.1:4317"]
    starting = running_service("sharer_service", arguments, tmp_path / "log")
    with pytest.raises(StartError, match=r"pip install 'kvwire\[otel\]'"), starting:
        pytest.fail("started")
