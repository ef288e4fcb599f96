"""Answers one item by all its arms with one running pair: what every engine does, wherever it does it."""

from collections.abc import AsyncIterator, Callable, Sequence
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
        self._clients: dict[str, Client] = {}

    def _client(self, address: str) -> Client:
        """Of the receiver, or of the sharer for what it is to answer by itself."""
        if address not in self._clients:
            self._clients[address] = self._connect(address)
        return self._clients[address]

    async def introduce(self) -> Introduction:
        """Both models as they describe themselves, and this process."""
        sides = {"receiver": self._receiver, "sharer": self._sharer}
        services = {side: await self._client(address).describe() for side, address in sides.items()}
        return Introduction(services, code_here(), machine_here())

    async def check(self, named: NamedRecipe) -> None:
        """Try the recipe on the receiver."""
        await preflight(self._client(self._receiver), named)

    async def close(self) -> None:
        """Close the connections; another event loop opens its own."""
        while self._clients:
            await self._clients.popitem()[1].close()

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
        client = self._client(self._sharer if arms[0].at_sharer else self._receiver)
        if len(arms) == 1:
            outcomes = [await _alone(turn.question, client, asked[0])]
        else:
            outcomes = await _together(cast("ScoredQuestion", turn.question), client, asked)
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
        for side, addresses in (("the receiver", self._receiver), ("the sharer", self._sharer)):
            for address in addresses.split(","):
                text = text.replace(address.strip(), side) if address else text
        return text


def _asking(turn: Turn, arm: Arm, compare_with: str) -> Asking:
    request_id = turn.request_id if arm.reference else f"{turn.request_id}-{turn.arms.index(arm)}"
    context = turn.told(arm)
    apart = arm.reference or arm.wrong_context or arm.at_sharer  # the sharer holds no distributions of the receiver
    return Asking(
        exchange=arm.exchange(turn.relay_max_tokens),
        info=RequestInfo(request_id=request_id, caller=CALLER),
        context=None if context is None else Text(context),
        keep=arm.reference,
        compare_with="" if apart else compare_with,
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
