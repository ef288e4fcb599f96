"""Services that do as they are told, over real channels, and a client of theirs that asks them."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc

from kvwire.client import Client
from kvwire.report import ContinuationScore, Report, Token
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, ScoreRequest, Text
from kvwire.rpc import answer_serde
from kvwire.v1 import model_pb2, model_service_pb2_grpc
from kvwire.v1 import model_service_pb2 as pb

TOKEN = answer_serde.token_to_proto(Token(7, " yes", -0.1))


@dataclass
class Scripted(model_service_pb2_grpc.ModelServiceServicer):
    """Its report names its address. ``fails``: how the next calls end, ``after`` so many tokens."""

    address: str = ""
    fails: list[str] = field(default_factory=list)
    after: int = 0
    calls: int = 0
    deadlines_ms: list[int] = field(default_factory=list)
    began: asyncio.Queue = field(default_factory=asyncio.Queue)
    held_up: asyncio.Event | None = None

    @property
    def report(self):
        return answer_serde.report_to_proto(
            Report("r", Method.RECEIVER_ONLY, Method.RECEIVER_ONLY, answering_model=self.address)
        )

    async def begins(self, request, context):
        self.calls += 1
        self.deadlines_ms.append(request.info.deadline_ms)
        self.began.put_nowait(self)
        if self.held_up is not None:
            await self.held_up.wait()
        if self.fails and not self.after:
            await context.abort(grpc.StatusCode[self.fails.pop(0)], "as told")

    async def goes_on(self, context):
        if self.fails:
            await context.abort(grpc.StatusCode[self.fails.pop(0)], "as told")

    async def Describe(self, request, context):  # noqa: N802, ARG002
        return pb.DescribeResponse(card=model_pb2.ModelCard(binding=model_pb2.ModelBinding(id="scripted")))

    async def Generate(self, request, context):  # noqa: N802  # the proto names it
        await self.begins(request, context)
        yield pb.GenerateResponse(token=TOKEN)
        await self.goes_on(context)
        yield pb.GenerateResponse(report=self.report)

    async def Score(self, request, context):  # noqa: N802
        await self.begins(request, context)
        yield pb.ScoreResponse(first_token=TOKEN)
        await self.goes_on(context)
        score = ContinuationScore(0, (7,), (-1.0,), 6)
        yield pb.ScoreResponse(score=answer_serde.continuation_score_to_proto(score))
        yield pb.ScoreResponse(report=self.report)


@asynccontextmanager
async def scripted(count=2, credentials=None, **script) -> AsyncIterator[list[Scripted]]:
    """So many services."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            server, told = grpc.aio.server(), Scripted(**copy.deepcopy(script))
            model_service_pb2_grpc.add_ModelServiceServicer_to_server(told, server)
            where = "127.0.0.1:0"
            port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
            told.address = f"127.0.0.1:{port}"
            await server.start()
            stack.push_async_callback(server.stop, None)
            found.append(told)
        yield found


def client(services, *others, **arguments):
    return Client(",".join([*(each.address for each in services), *others]), **arguments)


def asked(context="The key is under the pot.", prompt="Where?", deadline_ms=0):
    return GenerateRequest(
        Text(prompt), Text(context), Exchange(Method.RECEIVER_READS), info=RequestInfo(deadline_ms=deadline_ms)
    )


def scored(context="The key is under the pot.", request_id="", compare_with="", *, keep=False):
    return ScoreRequest(
        Text("Where?"),
        (Text(" there"),),
        Text(context),
        info=RequestInfo(request_id),
        keep_distributions=keep,
        compare_with=compare_with,
    )


async def who(receivers, request):
    """The address that answered."""
    answer = await (receivers.score(request) if isinstance(request, ScoreRequest) else receivers.generate_all(request))
    return answer.report.answering_model
