"""A sharer of our own in this process, over a real channel, that does as it is told."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
import pytest

from kvwire.engine.question import Question
from kvwire.engine.worker import Task
from kvwire.model_card import Description, Limits, ModelBinding
from kvwire.progress import Stopwatch
from kvwire.requests import Exchange, RequestInfo, Text
from kvwire.rpc.model_serde import description_to_proto
from kvwire.rpc.relay_serde import reply_bytes
from kvwire.v1 import model_service_pb2_grpc, sharer_service_pb2, sharer_service_pb2_grpc
from tests.receiver_service.streams import BINDING, CARD

OTHER = ModelBinding("other", "1", b"x" * 32, b"t" * 32)


@dataclass
class Scripted:
    """What becomes of the next calls of Relay: status names, or OK once they are used up; a text may be CHANGED."""

    address: str
    binding: ModelBinding = BINDING
    outcomes: list[str] = field(default_factory=list)
    relays: int = 0
    describes: int = 0
    describe_left_s: list[float] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    deadlines_ms: list[int] = field(default_factory=list)
    held_up: Callable[[], Awaitable[None]] | None = None


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, script):
        self.script = script

    async def Describe(self, _request, context):  # noqa: N802  # the proto names it
        self.script.describes += 1
        self.script.describe_left_s.append(context.time_remaining())
        card = replace(CARD, binding=self.script.binding)
        return description_to_proto(Description(card, (), (), (), Limits(1, 1, 1), (), "1"))


class _Sharer(sharer_service_pb2_grpc.SharerServiceServicer):
    def __init__(self, script):
        self.script = script

    async def Relay(self, request, context):  # noqa: N802
        self.script.relays += 1
        self.script.left_s.append(context.time_remaining())
        self.script.deadlines_ms.append(request.info.deadline_ms)
        if self.script.held_up is not None:
            await self.script.held_up()
        status = self.script.outcomes.pop(0) if self.script.outcomes else "OK"
        if status not in {"OK", "CHANGED"}:
            await context.abort(grpc.StatusCode[status], "as told")
        reply = sharer_service_pb2.RelayResponse(text=self.script.address)
        sealed = sharer_service_pb2.RelayResponse.FromString(reply_bytes(reply, request.SerializeToString()))
        if status == "CHANGED":
            sealed.text += "?"
        return sealed


@asynccontextmanager
async def _scripted(address: str = "127.0.0.1:0", **script) -> AsyncIterator[Scripted]:
    server = grpc.aio.server()
    told = Scripted("", **script)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(told), server)
    sharer_service_pb2_grpc.add_SharerServiceServicer_to_server(_Sharer(told), server)
    told.address = f"127.0.0.1:{server.add_insecure_port(address)}"
    await server.start()
    try:
        yield told
    finally:
        await server.stop(None)


@pytest.fixture
def scripted():
    """Start a sharer that does as it is told."""
    return _scripted


@pytest.fixture
def other_binding():
    """Of another model than a scripted sharer's."""
    return OTHER


@pytest.fixture
def question():
    """Make a question, with so much time."""

    def made(within_s: float | None = None) -> Question:
        task = Task()
        task.deadline_s = None if within_s is None else task.clock() + within_s
        return Question(RequestInfo("r"), Text("c"), Text("p"), Exchange(), 1, task, Stopwatch("receiver"))

    return made
