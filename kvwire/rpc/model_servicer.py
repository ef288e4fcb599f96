"""The ModelService both services offer, on top of an :class:`Answerer`."""

import logging
import math
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from kvwire.engine.answer import Answerer
from kvwire.engine.together import score_together
from kvwire.engine.worker import Task
from kvwire.errors import InvalidRequestError, KvwireError
from kvwire.logs import request_id
from kvwire.model_card import Description
from kvwire.report import ContinuationScore, Report, Token
from kvwire.requests import GenerateRequest, RequestInfo, ScoreRequest
from kvwire.rpc import answer_serde, serde
from kvwire.rpc.context import Context
from kvwire.rpc.model_serde import description_to_proto
from kvwire.rpc.status import status_of
from kvwire.telemetry import Metrics
from kvwire.tracing import Fact, span
from kvwire.v1 import model_service_pb2 as pb
from kvwire.v1 import model_service_pb2_grpc

_log = logging.getLogger(__name__)

# What one pass may hold in memory at once; beyond some 16 the weights' share of a pass is small anyway.
_MAX_TOGETHER = 64

R = TypeVar("R", GenerateRequest, ScoreRequest)


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Describe, Generate, Score and ScoreTogether."""

    def __init__(
        self,
        answerer: Answerer,
        description: Description,
        metrics: Metrics,
        heard: Callable[[Report], None] = lambda _: None,
    ) -> None:
        """``heard`` is told of every answer's report."""
        self._answerer = answerer
        self._description = description
        self._metrics = metrics
        self._heard = heard
        metrics.in_flight_limit.set(description.limits.max_in_flight)
        room = answerer.worker.room
        metrics.cache_bytes.set_function(lambda: room.taken_bytes)
        metrics.cache_limit_bytes.set(room.max_bytes)

    async def Describe(  # noqa: N802  # the proto names it
        self, request: pb.DescribeRequest, context: Context
    ) -> pb.DescribeResponse:
        """Answer with the card, codecs, methods and limits."""
        del request, context
        return description_to_proto(self._description)

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Stream tokens, then the report."""
        asked: GenerateRequest = _named(serde.generate_from_proto(request))
        async for event in self.events(asked, task_for(context, asked.info)):
            if isinstance(event, Token):
                yield pb.GenerateResponse(token=answer_serde.token_to_proto(event))
            else:
                yield pb.GenerateResponse(report=answer_serde.report_to_proto(event))

    async def events(self, asked: GenerateRequest, task: Task) -> AsyncGenerator[Token | Report, None]:
        """Admit a request, answer it token by token, and count its report.

        Raises:
            KvwireError: Whatever its method meets.
        """
        logprobs = 0.0
        with self._answering([asked], task) as left:
            async for event in self._answerer.generate(asked, task):
                if isinstance(event, Token):
                    logprobs += event.logprob
                else:
                    left.clear()
                    self._counted(event, answer_nats=-logprobs / max(1, event.tokens.generated))
                yield event

    async def Score(  # noqa: N802
        self, request: pb.ScoreRequest, context: Context
    ) -> AsyncIterator[pb.ScoreResponse]:
        """Stream the first token, the scores, then the report."""
        asked: ScoreRequest = _named(serde.score_from_proto(request))
        task = task_for(context, asked.info)
        with self._answering([asked], task) as left:
            async for event in self._answerer.score(asked, task):
                match event:
                    case Token():
                        yield pb.ScoreResponse(first_token=answer_serde.token_to_proto(event))
                    case ContinuationScore():
                        yield pb.ScoreResponse(score=answer_serde.continuation_score_to_proto(event))
                    case Report():
                        left.clear()
                        yield pb.ScoreResponse(report=answer_serde.report_to_proto(self._counted(event)))

    async def ScoreTogether(  # noqa: N802
        self, request: pb.ScoreTogetherRequest, context: Context
    ) -> AsyncIterator[pb.ScoreTogetherResponse]:
        """Stream what became of each request, in order."""
        if not 0 < len(request.requests) <= _MAX_TOGETHER:
            raise InvalidRequestError(f"{len(request.requests)} requests; 1 to {_MAX_TOGETHER} are scored together")
        asked: list[ScoreRequest] = [_named(serde.score_from_proto(one)) for one in request.requests]
        shortest = min(asked, key=lambda one: one.info.deadline_ms or math.inf)
        task = task_for(context, shortest.info)
        with self._answering(asked, task) as left:
            async for outcome in score_together(self._answerer, asked, task):
                one = left.pop(0)
                if isinstance(outcome, KvwireError):
                    self._failed(outcome, [one])
                    failure = pb.Failure(status=outcome.status, message=str(outcome))
                    yield pb.ScoreTogetherResponse(failure=failure)
                else:
                    self._counted(outcome.report)
                    yield pb.ScoreTogetherResponse(scored=answer_serde.scored_to_proto(outcome))

    @contextmanager
    def _answering(self, asked: Sequence[R], task: Task) -> Iterator[list[R]]:
        """Take a place for requests that are answered as one; those left in the list at an error are counted failed."""
        left = list(asked)
        try:
            with self._answerer.worker.admit(task), self._metrics.in_flight.track_inprogress():
                yield left
        except BaseException as error:
            self._failed(error, left)
            raise

    def _failed(self, error: BaseException, asked: Sequence[R]) -> None:
        code, why = status_of(error)
        for one in asked:
            self._metrics.count_failure(one.info, one.exchange.method, code, why)

    def _counted(self, report: Report, answer_nats: float | None = None) -> Report:
        self._metrics.count(report, report.codec.partition(":")[0].partition("+")[0], answer_nats)
        self._heard(report)
        span.get().tell(**_facts(report, self._answerer.side))
        _log.info(
            "request=%s method=%s path=%s codec=%s total_s=%.3f",
            report.request_id,
            report.method,
            report.path,
            report.codec or "-",
            report.stage_s("total") or 0.0,
        )
        return report


def _facts(report: Report, side: str) -> dict[str, Fact]:
    """What a trace says of an answer. A wait is the sum of many short ones, so no time of its own tells it."""
    facts: dict[str, Fact] = {"method": report.method.value, "path": report.path.value}
    facts["wait_s"] = report.stage_s("wait", side) or 0.0
    if report.codec:
        facts["codec"] = report.codec
    if report.bytes is not None:
        facts |= {"payload_bytes": report.bytes.payload_bytes, "grpc_bytes": report.bytes.grpc_bytes}
    return facts


def _named(request: R) -> R:
    """The request with an id, its own or a new one."""
    if request.info.request_id:
        return request
    return replace(request, info=replace(request.info, request_id=uuid.uuid4().hex))


def task_for(context: Context, info: RequestInfo) -> Task:
    """A task that ends when the call is cancelled or the shorter of both deadlines passes; the call's logs name it."""
    request_id.set(info.request_id)
    limits = [info.deadline_ms / 1000] if info.deadline_ms else []
    remaining = context.time_remaining()
    if remaining is not None:
        limits.append(remaining)
    task = Task(time.monotonic() + min(limits) if limits else None)
    context.add_done_callback(lambda _: task.cancel())  # type: ignore[arg-type]  # grpc-stubs wants a wider callback
    return task
