"""The public client: typed and asynchronous, of a sharer or a receiver, at one address or several.

::

    async with Client("127.0.0.1:50052") as receiver:
        request = GenerateRequest(context=Text("Mia hid the key under the mat."), prompt=Text("Where is the key?"))
        answer = await receiver.generate_all(request)
        print(answer.text, answer.report.bytes)

``Client("10.0.0.5:50052,10.0.0.6:50052")`` and ``Client("dns:receivers:50052")`` ask one of several; docs/balancing.md.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from typing import Self

from cachetools import LRUCache

from kvwire.answers import Generation, Scoring, Timer, whole_generation, whole_scoring
from kvwire.balancing.choice import Balance
from kvwire.errors import KvwireError, LocalError
from kvwire.model_card import Description
from kvwire.report import Report, Scored, Token
from kvwire.requests import GenerateRequest, ScoreRequest, with_time_left
from kvwire.rpc import answer_serde, serde
from kvwire.rpc.calls import Attempts, Calls, Stream
from kvwire.rpc.connection import Connection
from kvwire.rpc.model_serde import description_from_proto
from kvwire.rpc.status import error_from_status
from kvwire.security import ClientSecurity, bearer
from kvwire.tracing import Headers, callers_headers
from kvwire.v1 import model_service_pb2

__all__ = ["Client", "Generation", "Scoring"]

#: Whose address is remembered; a receiver keeps fewer.
_SCORINGS = 1024


class Client:
    """Calls of one service. Use as an asynchronous context manager."""

    def __init__(
        self, address: str, security: ClientSecurity | None = None, balance: Balance = Balance.AFFINITY
    ) -> None:
        """``address``: HOST:PORT or dns:NAME:PORT, or several with commas, of which ``balance`` chooses.

        Raises:
            StartError: An address without a port, or twice; a file of the security that cannot be read.
        """
        security = security or ClientSecurity()
        self.address = address
        self._calls = Calls(address, security, balance)
        self._metadata = security.metadata()
        self._kept_at = LRUCache[str, Connection](_SCORINGS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._calls.close()

    def showing(self, token: str) -> Self:
        """The same connection on behalf of somebody else, who shows this token; nothing if it is empty.

        Only the client it was made from closes the connection.
        """
        other = copy(self)
        other._metadata = bearer(token) if token else ()  # noqa: SLF001  # of this class
        return other

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until the service answers at every address, and see that it serves.

        Raises:
            KvwireError: It did not become ready in time.
        """
        await asyncio.gather(*(each.wait_ready(timeout_s) for each in await self._calls.connections()))

    async def wait_any_ready(self, timeout_s: float) -> None:
        """The same at one address at least, whichever answers first.

        Raises:
            KvwireError: None became ready in time; of the last one.
        """
        asked = [asyncio.ensure_future(each.wait_ready(timeout_s)) for each in await self._calls.connections()]
        try:
            for number, answer in enumerate(asyncio.as_completed(asked), 1):
                try:
                    return await answer
                except KvwireError:
                    if number == len(asked):
                        raise
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def describe(self) -> Description:
        """The service's model card, codecs, methods and limits.

        Raises:
            KvwireError: Whatever the service answered.
        """

        async def described(connection: Connection, _: float | None) -> Description:
            answer = await connection.model.Describe(model_service_pb2.DescribeRequest(), metadata=self._headers())
            return description_from_proto(answer)

        return await self._calls.answered(Attempts(b""), described)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Token | Report, None]:
        """Yield tokens as they are made, then the report; closed before its end, the service stops.

        Raises:
            KvwireError: Whatever the service answered.
        """

        def begin(connection: Connection, left_s: float | None) -> Stream[model_service_pb2.GenerateResponse]:
            asked = serde.generate_to_proto(replace(request, info=with_time_left(request.info, left_s)))
            return connection.model.Generate(asked, metadata=self._headers(), timeout=left_s)

        attempts = Attempts.of([request])
        async with aclosing(self._calls.streamed(attempts, begin)) as events:
            async for event in events:
                part = answer_serde.generation_from_proto(event)
                yield replace(part, answered_at=attempts.tried[-1].address) if isinstance(part, Report) else part

    async def generate_all(self, request: GenerateRequest) -> Generation:
        """Generate to the end.

        Raises:
            KvwireError: Whatever the service answered.
        """
        return await whole_generation(self.generate(request), self.address)

    async def score(self, request: ScoreRequest) -> Scoring:
        """Score continuations.

        Raises:
            KvwireError: Whatever the service answered.
        """
        timer = Timer()

        async def scored(connection: Connection, left_s: float | None) -> Scoring:
            asked = serde.score_to_proto(replace(request, info=with_time_left(request.info, left_s)))
            self._keeping(connection, request)
            call = connection.model.Score(asked, metadata=self._headers(), timeout=left_s)
            try:
                events = (answer_serde.scoring_from_proto(event) async for event in call)
                whole = await whole_scoring(events, len(request.continuations), connection.address, timer)
            finally:
                call.cancel()
            return whole.found_at(connection.address)

        return await self._calls.answered(Attempts.of([request], self._kept_at.get(request.compare_with)), scored)

    async def score_together(self, requests: Sequence[ScoreRequest]) -> AsyncIterator[Scored | KvwireError]:
        """Score requests in one forward pass and yield what became of each, in order.

        Raises:
            KvwireError: The call as a whole failed.
        """

        def begin(connection: Connection, left_s: float | None) -> Stream[model_service_pb2.ScoreTogetherResponse]:
            self._keeping(connection, *requests)
            asked = model_service_pb2.ScoreTogetherRequest(requests=[serde.score_to_proto(one) for one in requests])
            return connection.model.ScoreTogether(asked, metadata=self._headers(), timeout=left_s)

        at = [self._kept_at[one.compare_with] for one in requests if one.compare_with in self._kept_at]
        attempts = Attempts.of(requests, *at[:1])
        count = 0
        async with aclosing(self._calls.streamed(attempts, begin)) as outcomes:
            async for outcome in outcomes:
                count += 1
                if outcome.HasField("scored"):
                    yield answer_serde.scored_from_proto(outcome.scored).found_at(attempts.tried[-1].address)
                else:
                    yield error_from_status(outcome.failure.status, outcome.failure.message, self.address)
        if count != len(requests):
            raise LocalError(f"{self.address} scored {count} of {len(requests)} requests")

    def _keeping(self, connection: Connection, *requests: ScoreRequest) -> None:
        """Remember where scorings are kept: they are compared with there."""
        for one in requests:
            if one.keep_distributions:
                self._kept_at[one.info.request_id] = connection

    def _headers(self) -> Headers:
        """Who calls, and as part of which trace."""
        return (*self._metadata, *callers_headers())
