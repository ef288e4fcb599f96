"""Answers one item by all its arms with one running pair: what every engine does, wherever it does it."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import cached_property
from typing import cast

from experiments.arms import Arm
from experiments.engines.base import Introduction
from experiments.here import code_here, machine_here
from experiments.preflight import CALLER, preflight
from experiments.questions.base import Asking, Question, Reply, ScoredQuestion
from experiments.recipe import NamedRecipe
from experiments.record import Record, answered, failed
from experiments.turn import Turn
from kvwire.client import Client
from kvwire.errors import AuthenticationError, BindingError, KvwireError, NotFoundError, UnavailableError
from kvwire.report import Scored
from kvwire.requests import RequestInfo, Text

#: The services are at fault, not the item: every later line would fail too, so the run ends and can be gone on with.
_ENDS_THE_RUN = (UnavailableError, NotFoundError, AuthenticationError, BindingError)


class PairWorker:
    """The pair at two addresses.

    ``connect`` opens a connection, in the event loop that asks first; ``engine`` is written beside every latency.
    """

    def __init__(self, sharer: str, receiver: str, engine: str, connect: Callable[[str], Client] = Client) -> None:
        self._sharer = sharer
        self._receiver = receiver
        self._engine = engine
        self._connect = connect

    @cached_property
    def _client(self) -> Client:
        """The receiver, which is asked everything."""
        return self._connect(self._receiver)

    async def introduce(self) -> Introduction:
        """Both models as they describe themselves, and this process."""
        async with self._connect(self._sharer) as sharer:
            services = {"receiver": await self._client.describe(), "sharer": await sharer.describe()}
        return Introduction(services, code_here(), machine_here())

    async def check(self, named: NamedRecipe) -> None:
        """Try the recipe on the receiver."""
        await preflight(self._client, named)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def answers(self, turn: Turn) -> AsyncIterator[Record]:
        """Yield the lines that are not there yet, as they come."""
        compares = turn.compares
        if turn.done and compares:
            # The receiver no longer holds the reference of a run that was killed: score it again, write nothing.
            await self._lines(turn, turn.arms[:1], "")
        for start, group in turn.groups():
            if start + len(group) <= turn.done:
                continue
            records = await self._lines(turn, group, turn.request_id if compares else "")
            compares = compares and (records[0]["error"] is None or not group[0].reference)
            for record in records[max(0, turn.done - start) :]:
                yield record

    async def _lines(self, turn: Turn, arms: Sequence[Arm], compare_with: str) -> list[Record]:
        asked = [_asking(turn, arm, compare_with) for arm in arms]
        if len(arms) == 1:
            outcomes = [await _alone(turn.question, self._client, asked[0])]
        else:
            outcomes = await _together(cast("ScoredQuestion", turn.question), self._client, asked)
        return [self._record(turn, arm, outcome) for arm, outcome in zip(arms, outcomes, strict=True)]

    def _record(self, turn: Turn, arm: Arm, outcome: Reply | KvwireError) -> Record:
        key = turn.key(arm)
        if isinstance(outcome, Reply):
            return answered(key, outcome.result, outcome.report, outcome.times_s, self._engine)
        if isinstance(outcome, _ENDS_THE_RUN):
            raise UnavailableError(
                f"{key[0]}, item {key[1]}, {key[2]}: {type(outcome).__name__}: {outcome}; "
                "what is written stays, run the same command again to go on"
            ) from outcome
        return failed(key, self._without_addresses(f"{type(outcome).__name__}: {outcome}"))

    def _without_addresses(self, text: str) -> str:
        """Addresses change with every run, what they stand for does not."""
        return text.replace(self._receiver, "the receiver").replace(self._sharer, "the sharer")


def _asking(turn: Turn, arm: Arm, compare_with: str) -> Asking:
    request_id = turn.request_id if arm.reference else f"{turn.request_id}-{turn.arms.index(arm)}"
    context = turn.other if arm.wrong_context else turn.question.context
    return Asking(
        exchange=arm.exchange(turn.relay_max_tokens),
        info=RequestInfo(request_id=request_id, caller=CALLER),
        context=None if context is None else Text(context),
        keep=arm.reference,
        compare_with="" if arm.reference or arm.wrong_context else compare_with,
    )


async def _alone(question: Question, client: Client, asking: Asking) -> Reply | KvwireError:
    try:
        return await question.ask(client, asking)
    except KvwireError as error:
        return error


async def _together(question: ScoredQuestion, client: Client, asked: Sequence[Asking]) -> list[Reply | KvwireError]:
    """One outcome each; what ends the call ends all of them."""
    outcomes: list[Reply | KvwireError] = []
    try:
        async for outcome in client.score_together([question.request(asking) for asking in asked]):
            outcomes.append(_reply(question, outcome))  # noqa: PERF401  # those before a failure count
    except KvwireError as error:
        outcomes += [error] * (len(asked) - len(outcomes))
    return outcomes


def _reply(question: ScoredQuestion, scored: Scored | KvwireError) -> Reply | KvwireError:
    if isinstance(scored, KvwireError):
        return scored
    try:
        return Reply(question.result(scored), scored.report)
    except KvwireError as error:
        return error
