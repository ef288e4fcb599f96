"""A stop behind a slow link: what was written arrives before its connection is closed."""

import asyncio
import signal
import threading
from contextlib import contextmanager
from random import Random

import grpc
import pytest

from kvwire.callers.door import Door
from kvwire.link.relay import Relay
from kvwire.link.shape import Shape
from kvwire.rpc.server import Listening, serve
from kvwire.security import ServerSecurity
from kvwire.telemetry import Metrics
from kvwire.tracing import tracer
from kvwire.v1 import model_service_pb2, model_service_pb2_grpc

#: A quarter of a second of the link, so that some are always under way.
PIECE = "x" * 64 * 1024
PIECES = 6


class Writes(model_service_pb2_grpc.ModelServiceServicer):
    """Generates a piece and, when it is told to, the others as fast as gRPC takes them."""

    def __init__(self):
        self.goes_on = asyncio.Event()

    async def Generate(self, request, context):  # noqa: ARG002, N802
        for _ in range(PIECES):
            yield model_service_pb2.GenerateResponse(token={"text": PIECE})
            await self.goes_on.wait()


async def _at_once():
    pass


def served(service):
    listening = Listening("127.0.0.1:0", "127.0.0.1:0", ServerSecurity(), Door(), 4096)
    return serve(
        listening,
        Metrics("sharer"),
        tracer("sharer", ""),
        lambda server: model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server),
        (),
        {},
        _at_once,
    )


@contextmanager
def linked(address):
    """Its address behind a link of 2 Mbit/s."""
    relay = Relay("127.0.0.1:0", address, Shape.parse("2mbit"), Random(1))  # noqa: S311  # of a link that loses nothing
    serving = threading.Thread(target=relay.serve)
    serving.start()
    try:
        yield relay.address
    finally:
        relay.close()
        serving.join()


async def test_a_server_that_stops_finishes_what_it_began_and_begins_nothing(announced):
    """All it writes arrives, though its peer writes too, to a connection that gRPC could have closed long before."""
    service = Writes()
    running = asyncio.create_task(served(service))
    with linked(await announced.get()) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            pieces = aiter(stub.Generate(model_service_pb2.GenerateRequest()))
            texts = [(await anext(pieces)).token.text]
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError, match=r"is stopping .* ask another") as refused:
                await stub.Describe(model_service_pb2.DescribeRequest())
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            service.goes_on.set()
            texts += [piece.token.text async for piece in pieces]
        await running
    assert [text == PIECE for text in texts] == [True] * PIECES
