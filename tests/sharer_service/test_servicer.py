"""What a sharer's streams leave to those who wait."""

from contextlib import aclosing

import pytest

from codec.allocate.profiles import Profiles
from codec.calibrations import Calibrations
from kvwire.engine.decoder import Decoder
from kvwire.engine.worker import Task, Worker
from kvwire.requests import Method, RequestInfo, Text
from kvwire.stream import ShareRequest
from kvwire.telemetry import Metrics
from sharer_service.kept import KeptCaches
from sharer_service.plan import Held, Plans
from sharer_service.servicer import SharerServicer


@pytest.fixture
def worker():
    worker = Worker(max_in_flight=2)
    yield worker
    worker.close()


@pytest.fixture
def servicer(engine, worker, tmp_path):
    """One that keeps what it read."""
    plans = Plans(engine, Held(Calibrations(tmp_path), Profiles(tmp_path), {}, {}), keep=4)
    return SharerServicer(
        engine, worker, Decoder(engine, worker), Metrics("sharer"), KeptCaches(1 << 30), plans, relay_max_tokens=8
    )


async def test_a_context_whose_layers_are_kept_is_not_waited_for(engine, servicer, worker):
    """While a slow reader takes it, nobody behind it is told that its tokens are still to be read."""
    own = engine.card.binding
    asked = ShareRequest(RequestInfo("r"), Method.PREFIX, Text("some words to read"), "fp16", own, own)

    def parts():
        return aclosing(servicer._parts(asked, b"", Task(), lambda *_: None))

    async with parts() as first:
        async for _ in first:
            pass
    async with parts() as again:
        await anext(again)  # the header
        await anext(again)  # of the first layer; there are more than may wait unread
        assert worker.backlog.tokens == 0
