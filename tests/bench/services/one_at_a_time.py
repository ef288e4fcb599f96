"""A service that takes 40 ms for an answer and answers one at a time: a queue whose waits follow from the arrivals."""

import asyncio

import grpc

from kvwire.report import ContinuationScore, Report, Token
from kvwire.requests import Method
from kvwire.rpc import answer_serde
from kvwire.v1 import model_service_pb2 as pb
from kvwire.v1 import model_service_pb2_grpc

ANSWER_S = 0.04


class OneAtATime(model_service_pb2_grpc.ModelServiceServicer):
    """Scores every continuation alike."""

    def __init__(self):
        self._turn = asyncio.Lock()

    async def Score(self, request, context):  # noqa: N802, ARG002  # as the proto names it
        async with self._turn:
            await asyncio.sleep(ANSWER_S)
        yield pb.ScoreResponse(first_token=answer_serde.token_to_proto(Token(1, "A", -0.1)))
        for index in range(len(request.continuations)):
            yield pb.ScoreResponse(
                score=answer_serde.continuation_score_to_proto(ContinuationScore(index, (1,), (-1.0,), 1))
            )
        report = Report(request.info.request_id, Method.PREFIX, Method.PREFIX)
        yield pb.ScoreResponse(report=answer_serde.report_to_proto(report))


async def main():
    server = grpc.aio.server()
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(OneAtATime(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


asyncio.run(main())
