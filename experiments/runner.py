"""Asks every question by every arm, one after the other, and writes a line for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from experiments.arms import Arm
from experiments.ledger import Ledger
from experiments.plan import Block, Key, Plan
from experiments.questions.base import Asking, Question, Reply, ScoredQuestion
from experiments.questions.load import other_context
from experiments.record import Record, answered, failed
from kvwire.client import Client
from kvwire.errors import AuthenticationError, BindingError, KvwireError, NotFoundError, UnavailableError
from kvwire.report import Scored
from kvwire.requests import Method, RequestInfo, Text

# One caller for the whole run: a sharer reuses what it read only for the same caller.
CALLER = "experiment"

#: The services are at fault, not the item: every later line would fail too, so the run ends and can be gone on with.
_ENDS_THE_RUN = (UnavailableError, NotFoundError, AuthenticationError, BindingError)


@dataclass(frozen=True)
class _Turn:
    """One question of a block, and where its lines begin.

    ``done`` of them are written; ``compares`` is false if its reference is among those and failed. ``other`` is the
    context of its control. A ``timed`` one is asked arm by arm with nothing beside it.
    """

    block: Block
    question: Question
    other: str | None
    first_line: int
    done: int
    compares: bool
    timed: bool

    @property
    def scored_together(self) -> bool:
        """Whether its arms share forward passes."""
        return not self.timed and isinstance(self.question, ScoredQuestion)


_Lane = asyncio.Queue[Record | Exception | None]


class Runner:
    """Runs one plan, each item on one of the receivers, as many items at once as there are receivers.

    ``names`` are what errors call the addresses, which change with every run. Of the ``sharer`` is asked what it is to
    answer by itself.
    """

    def __init__(self, clients: Sequence[Client], plan: Plan, names: Mapping[str, str], sharer: Client) -> None:
        self._clients = clients
        self._sharer = sharer
        self._plan = plan
        self._names = names
        self._recipe = plan.named.recipe

    async def run(self, ledger: Ledger, told: Callable[[Record], None]) -> None:
        """Write every line the ledger does not have yet, in order; ``told`` hears of each.

        Raises:
            UnavailableError: The services went away or are not as they were; what is written stays.
        """
        lanes = [(turn, _Lane()) for turn in self._turns(ledger)]
        work = asyncio.create_task(self._work_all(lanes))
        try:
            for _, lane in lanes:
                while (record := await lane.get()) is not None:
                    if isinstance(record, Exception):
                        raise record
                    ledger.append(record)
                    told(record)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _turns(self, ledger: Ledger) -> Iterator[_Turn]:
        """The questions with lines still to write."""
        line = 0
        for block in self._plan.blocks:
            for index, question in enumerate(block.questions):
                done = ledger.done - line
                if done < len(block.arms):
                    yield _Turn(
                        block,
                        question,
                        other_context(block.questions, index),
                        line,
                        max(0, done),
                        compares=done <= 0 or not ledger.failed(line),
                        timed=index < self._recipe.timed,
                    )
                line += len(block.arms)

    async def _work_all(self, lanes: Sequence[tuple[_Turn, _Lane]]) -> None:
        """First what is timed, with nothing beside it; then the others on all receivers at once."""
        await self._work(self._clients[0], iter([lane for lane in lanes if lane[0].timed]))
        rest = iter([lane for lane in lanes if not lane[0].timed])
        await asyncio.gather(*(self._work(client, rest) for client in self._clients))

    async def _work(self, client: Client, waiting: Iterator[tuple[_Turn, _Lane]]) -> None:
        """Answer question after question; whatever goes wrong is told to whoever waits for the lines."""
        for turn, lane in waiting:
            try:
                async for record in self._answers(client, turn):
                    lane.put_nowait(record)
            except Exception as error:  # noqa: BLE001  # raised again by run
                lane.put_nowait(error)
                return
            lane.put_nowait(None)

    async def _answers(self, client: Client, turn: _Turn) -> AsyncIterator[Record]:
        arms, compares = turn.block.arms, turn.compares
        if turn.done and compares:
            # The receiver no longer holds the reference of a run that was killed: score it again, write nothing.
            await self._lines(client, turn, arms[:1], "")
        for start, group in self._groups(turn):
            if start + len(group) <= turn.done:
                continue
            records = await self._lines(client, turn, group, self._id(turn) if compares else "")
            compares = compares and (records[0]["error"] is None or not group[0].reference)
            for record in records[max(0, turn.done - start) :]:
                yield record

    def _groups(self, turn: _Turn) -> Iterator[tuple[int, tuple[Arm, ...]]]:
        """Arms that are asked in one call, and where their lines begin: the reference by itself, before the others.

        The same in a run that is gone on with, since a likelihood's last digit depends on what shares its pass. What
        the sharer answers shares no call with the receiver's.
        """
        size = self._recipe.together if turn.scored_together else 1
        arms = turn.block.arms
        yield 0, arms[:1]
        first = 1
        for _, side in groupby(arms[1:], key=lambda arm: arm.at_sharer):
            end = first + len(tuple(side))
            for start in range(first, end, size):
                yield start, arms[start : min(start + size, end)]
            first = end

    async def _lines(self, client: Client, turn: _Turn, arms: Sequence[Arm], compare_with: str) -> list[Record]:
        asked = [self._asking(turn, arm, compare_with) for arm in arms]
        client = self._sharer if arms[0].at_sharer else client
        if len(arms) == 1:
            outcomes = [await _alone(turn.question, client, asked[0])]
        else:
            outcomes = await _together(cast("ScoredQuestion", turn.question), client, asked)
        return [self._record(turn, arm, outcome) for arm, outcome in zip(arms, outcomes, strict=True)]

    def _asking(self, turn: _Turn, arm: Arm, compare_with: str) -> Asking:
        request_id = self._id(turn) if arm.reference else f"{self._id(turn)}-{turn.block.arms.index(arm)}"
        apart = arm.reference or arm.wrong_context or arm.at_sharer  # the sharer holds no distributions of the receiver
        return Asking(
            exchange=arm.exchange(self._recipe.relay_max_tokens),
            info=RequestInfo(request_id=request_id, caller=CALLER),
            context=_context(turn, arm),
            keep=arm.reference,
            compare_with="" if apart else compare_with,
        )

    def _record(self, turn: _Turn, arm: Arm, outcome: Reply | KvwireError) -> Record:
        key: Key = (turn.block.dataset, turn.question.id, arm.name)
        if isinstance(outcome, Reply):
            return answered(key, outcome.result, outcome.report, outcome.times_s)
        if isinstance(outcome, _ENDS_THE_RUN):
            raise UnavailableError(
                f"{key[0]}, item {key[1]}, {key[2]}: {type(outcome).__name__}: {outcome}; "
                "what is written stays, run the same command again to go on"
            ) from outcome
        return failed(key, self._without_addresses(outcome))

    def _id(self, turn: _Turn) -> str:
        """The reference's request id: the same in every run, so that its bytes are too."""
        return f"{self._plan.named.sha256[:16]}-{turn.first_line:08}"

    def _without_addresses(self, error: KvwireError) -> str:
        text = f"{type(error).__name__}: {error}"
        for address, name in self._names.items():
            text = text.replace(address, name)
        return text


def _context(turn: _Turn, arm: Arm) -> Text | None:
    """What an arm's sharer is told."""
    own = turn.question.told[arm.shown] if arm.method is Method.TEXT else turn.question.context
    context = turn.other if arm.wrong_context else own
    return None if context is None else Text(context)


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
