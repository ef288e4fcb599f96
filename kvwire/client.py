"""The public client: one typed, asynchronous connection to a sharer or a receiver.

::

    async with Client("127.0.0.1:50052") as receiver:
        request = GenerateRequest(context=Text("Mia hid the key under the mat."), prompt=Text("Where is the key?"))
        answer = await receiver.generate_all(request)
        print(answer.text, answer.report.bytes)
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kvwire.errors import KvwireError, LocalError, UnavailableError
from kvwire.model_card import Description
from kvwire.report import ContinuationScore, Report, Scored, Token
from kvwire.requests import GenerateRequest, RequestInfo, ScoreRequest
from kvwire.rpc import answer_serde, serde
from kvwire.rpc.model_serde import description_from_proto
from kvwire.rpc.status import error_from_rpc, error_from_status
from kvwire.security import ClientSecurity, bearer
from kvwire.tracing import Headers, callers_headers
from kvwire.v1 import model_service_pb2, model_service_pb2_grpc


@dataclass(frozen=True)
class Generation:
    """A whole generation. Times in seconds by this client's clock, from sending; ``first_token_s`` is the TTFT.

    ``itl_s``: between each token and the one before.
    """

    text: str
    tokens: tuple[Token, ...]
    report: Report
    first_token_s: float
    total_s: float
    itl_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scoring(Scored):
    """A whole scoring of a call of its own; times as in :class:`Generation`."""

    first_token_s: float
    total_s: float


class Client:
    """A connection to one service. Use as an asynchronous context manager."""

    def __init__(self, address: str, security: ClientSecurity | None = None) -> None:
        security = security or ClientSecurity()
        self.address = address
        self._channel = security.channel(address)
        self._metadata = security.metadata()
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close(None)

    def showing(self, token: str) -> Self:
        """The same connection on behalf of somebody else, who shows this token; nothing if it is empty.

        Only the client it was made from closes the connection.
        """
        other = copy(self)
        other._metadata = bearer(token) if token else ()  # noqa: SLF001  # of this class
        return other

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until the service answers, and see that it serves.

        Raises:
            KvwireError: It did not become ready in time.
        """
        request = health_pb2.HealthCheckRequest()
        try:
            answer = await self._health.Check(request, timeout=timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, self.address) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise UnavailableError(f"{self.address} answers but does not serve: it is starting or draining; retry")

    async def describe(self) -> Description:
        """The service's model card, codecs, methods and limits.

        Raises:
            KvwireError: Whatever the service answered.
        """
        try:
            answer = await self._model.Describe(model_service_pb2.DescribeRequest(), metadata=self._headers())
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, self.address) from error
        return description_from_proto(answer)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Token | Report, None]:
        """Yield tokens as they are made, then the report; closed before its end, the service stops.

        Raises:
            KvwireError: Whatever the service answered.
        """
        call = self._model.Generate(
            serde.generate_to_proto(request), metadata=self._headers(), timeout=_timeout_s(request.info)
        )
        try:
            async for event in call:
                if event.HasField("token"):
                    yield answer_serde.token_from_proto(event.token)
                else:
                    yield answer_serde.report_from_proto(event.report)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, self.address) from error
        finally:
            call.cancel()

    async def generate_all(self, request: GenerateRequest) -> Generation:
        """Generate to the end.

        Raises:
            KvwireError: Whatever the service answered.
        """
        timer = _Timer()
        tokens: list[Token] = []
        came_s: list[float] = []
        report: Report | None = None
        async for event in self.generate(request):
            if isinstance(event, Token):
                timer.first()
                tokens.append(event)
                came_s.append(timer.elapsed_s())
            else:
                timer.first()  # an answer that ends at once has its end for a first token
                report = event
        return Generation(
            "".join(t.text for t in tokens),
            tuple(tokens),
            self._ended(report),
            timer.first_s,
            timer.elapsed_s(),
            tuple(after - before for before, after in pairwise(came_s)),
        )

    async def score(self, request: ScoreRequest) -> Scoring:
        """Score continuations.

        Raises:
            KvwireError: Whatever the service answered.
        """
        timer = _Timer()
        scores: list[ContinuationScore] = []
        first: Token | None = None
        report: Report | None = None
        call = self._model.Score(
            serde.score_to_proto(request), metadata=self._headers(), timeout=_timeout_s(request.info)
        )
        try:
            async for event in call:
                match event.WhichOneof("event"):
                    case "first_token":
                        timer.first()
                        first = answer_serde.token_from_proto(event.first_token)
                    case "score":
                        scores.append(answer_serde.continuation_score_from_proto(event.score))
                    case _:
                        report = answer_serde.report_from_proto(event.report)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, self.address) from error
        finally:
            call.cancel()
        if first is None or len(scores) != len(request.continuations):
            raise LocalError(f"{self.address} scored {len(scores)} of {len(request.continuations)} continuations")
        return Scoring(first, tuple(scores), self._ended(report), timer.first_s, timer.elapsed_s())

    async def score_together(self, requests: Sequence[ScoreRequest]) -> AsyncIterator[Scored | KvwireError]:
        """Score requests in one forward pass and yield what became of each, in order.

        Raises:
            KvwireError: The call as a whole failed.
        """
        asked = model_service_pb2.ScoreTogetherRequest(requests=[serde.score_to_proto(one) for one in requests])
        limits = [limit for one in requests if (limit := _timeout_s(one.info)) is not None]
        call = self._model.ScoreTogether(asked, metadata=self._headers(), timeout=min(limits, default=None))
        count = 0
        try:
            async for outcome in call:
                count += 1
                if outcome.HasField("scored"):
                    yield answer_serde.scored_from_proto(outcome.scored)
                else:
                    yield error_from_status(outcome.failure.status, outcome.failure.message, self.address)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, self.address) from error
        finally:
            call.cancel()
        if count != len(requests):
            raise LocalError(f"{self.address} scored {count} of {len(requests)} requests")

    def _headers(self) -> Headers:
        """Who calls, and as part of which trace."""
        return (*self._metadata, *callers_headers())

    def _ended(self, report: Report | None) -> Report:
        if report is None:
            raise LocalError(f"{self.address} ended the answer without a report; it runs another version of kvwire")
        return report


@dataclass
class _Timer:
    begun: float = field(default_factory=time.perf_counter)
    first_s: float = 0.0

    def first(self) -> None:
        self.first_s = self.first_s or self.elapsed_s()

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.begun


def _timeout_s(info: RequestInfo) -> float | None:
    return info.deadline_ms / 1000 if info.deadline_ms else None
