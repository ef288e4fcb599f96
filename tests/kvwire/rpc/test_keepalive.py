"""Pings find a process that hangs, and disturb none that is merely quiet.

A stopped process is what a hung one looks like from outside: its machine acknowledges every byte, and nobody reads.
"""

import asyncio
import os
import signal
import sys
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kvwire.rpc.server import server_options
from kvwire.security import PING_EVERY_MS, PING_TIMEOUT_MS, ClientSecurity

pytestmark = pytest.mark.slow

SERVER = """
import asyncio
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kvwire.rpc.server import server_options

class Silent(health_pb2_grpc.HealthServicer):
    async def Check(self, request, context):
        if request.service:
            await asyncio.sleep(3600)
        return health_pb2.HealthCheckResponse()

async def run():
    server = grpc.aio.server(options=server_options(1024))
    health_pb2_grpc.add_HealthServicer_to_server(Silent(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()

asyncio.run(run())
"""
#: Calls of this service are not answered.
QUIET = health_pb2.HealthCheckRequest(service="quiet")
#: From a stop until a call fails: a ping, the wait for its answer, and what a busy machine needs.
NOTICED_S = (PING_EVERY_MS + PING_TIMEOUT_MS) / 1000 + 5
#: Until a connection that nobody takes up fails, as kvwire/security.py says, and as much again for a busy machine.
NOT_TAKEN_UP_S = 10


@pytest.fixture
async def process():
    """A server in a process of its own; and its port."""
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    yield started, int(await started.stdout.readline())
    started.kill()
    await started.wait()


async def test_a_call_of_a_process_that_hangs_fails_without_a_deadline(process):
    """Where it would have waited for ever."""
    started, port = process
    async with ClientSecurity().channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        call = health.Check(QUIET)
        os.kill(started.pid, signal.SIGSTOP)
        stopped_s = time.monotonic()
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - stopped_s < NOTICED_S


async def test_a_new_connection_to_a_process_that_hangs_fails_sooner(process):
    """Its machine takes the connection up, and nobody speaks."""
    started, port = process
    os.kill(started.pid, signal.SIGSTOP)
    async with ClientSecurity().channel(f"127.0.0.1:{port}") as channel:
        began_s = time.monotonic()
        call = health_pb2_grpc.HealthStub(channel).Check(QUIET)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began_s < NOT_TAKEN_UP_S


async def test_a_quiet_service_is_pinged_and_nobody_is_sent_away():
    """Neither while a call waits in silence, nor between calls; six pings each are twice what gRPC puts up with."""
    silence_s = 6 * PING_EVERY_MS / 1000 + 1

    class Slow(health_pb2_grpc.HealthServicer):
        async def Check(self, request, _):  # noqa: N802  # the proto names it
            await asyncio.sleep(silence_s if request.service else 0)
            return health_pb2.HealthCheckResponse()

    server = grpc.aio.server(options=server_options(1024))
    health_pb2_grpc.add_HealthServicer_to_server(Slow(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with ClientSecurity().channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(QUIET)
        left = asyncio.create_task(channel.wait_for_state_change(grpc.ChannelConnectivity.READY))
        done, _ = await asyncio.wait({left}, timeout=silence_s)
        assert not done
        left.cancel()
    await server.stop(None)
