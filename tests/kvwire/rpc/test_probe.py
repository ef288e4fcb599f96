"""Health over gRPC: ready when it serves, and no watch in the way of a stop."""

import asyncio
import signal
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kvwire.callers.door import Door
from kvwire.errors import OverloadedError, StartError
from kvwire.processes import free_port
from kvwire.rpc.server import _DRAIN_S, Listening, serve
from kvwire.security import ServerSecurity
from kvwire.telemetry import Metrics
from kvwire.tracing import tracer

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def served(try_out, port=0):
    """A server of no service but health."""
    listening = Listening(f"127.0.0.1:{port}", "127.0.0.1:0", ServerSecurity(), Door(), 4096)
    return serve(listening, Metrics("sharer"), tracer("sharer", ""), lambda _: None, ("a.Service",), {}, try_out)


@asynccontextmanager
async def probe(address):
    async with grpc.aio.insecure_channel(address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def test_a_service_is_ready_once_it_has_answered_its_own_request(announced):
    """Until then it says so to whoever asks, and announces nothing; a watcher hears of the change."""
    answered, port = asyncio.Event(), free_port()
    running = asyncio.create_task(served(answered.wait, port))
    async with probe(f"127.0.0.1:{port}") as health:
        for service in ("", "a.Service"):
            asked = health_pb2.HealthCheckRequest(service=service)
            assert (await health.Check(asked, wait_for_ready=True, timeout=60)).status == NOT_SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == NOT_SERVING
        assert announced.empty()
        answered.set()
        assert (await watch.read()).status == SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=60)).status == SERVING
        watch.cancel()
    signal.raise_signal(signal.SIGTERM)
    await running


async def test_an_open_watch_hears_of_the_stop_and_does_not_hold_it_up(announced):
    """It would for the whole grace that requests in flight have."""
    running = asyncio.create_task(served(_at_once))
    async with probe(await announced.get()) as health:
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        async with asyncio.timeout(_DRAIN_S / 2):
            signal.raise_signal(signal.SIGTERM)
            assert (await watch.read()).status == NOT_SERVING
            assert await watch.read() is grpc.aio.EOF
            await running


async def test_a_service_nobody_knows_is_not_found(announced):
    """By Check; a watch waits for it to come, as the protocol has it."""
    running = asyncio.create_task(served(_at_once))
    async with probe(await announced.get()) as health:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health.Check(health_pb2.HealthCheckRequest(service="another"), timeout=60)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest(service="another"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()
    signal.raise_signal(signal.SIGTERM)
    await running


async def test_a_service_that_cannot_answer_does_not_start(announced):
    """The error says why, and nothing was announced."""

    async def overloaded():
        raise OverloadedError("no memory")

    with pytest.raises(StartError, match=r"cannot answer.*no memory"):
        await served(overloaded)
    assert announced.empty()


async def _at_once():
    pass
