"""Asks every question by every arm, one after the other, and writes a line for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from experiments.arms import Arm
from experiments.ledger import Ledger
from experiments.plan import Block, Key, Plan
from experiments.questions.base import Asking, Question
from experiments.questions.load import other_context
from experiments.record import Record, answered, failed
from kvwire.client import Client
from kvwire.errors import AuthenticationError, BindingError, KvwireError, NotFoundError, UnavailableError
from kvwire.requests import RequestInfo, Text

# One caller for the whole run: a sharer reuses what it read only for the same caller.
CALLER = "experiment"

#: The services are at fault, not the item: every later line would fail too, so the run ends and can be gone on with.
_ENDS_THE_RUN = (UnavailableError, NotFoundError, AuthenticationError, BindingError)


@dataclass(frozen=True)
class _Turn:
    """One question of a block, and where its lines begin.

    ``done`` of them are written; ``compares`` is false if its reference is among those and failed. ``other`` is the
    context of its control.
    """

    block: Block
    question: Question
    other: str | None
    first_line: int
    done: int
    compares: bool


_Lane = asyncio.Queue[Record | Exception | None]


class Runner:
    """Runs one plan, each item on one of the receivers, as many items at once as there are receivers.

    ``names`` are what errors call the addresses, which change with every run.
    """

    def __init__(self, clients: Sequence[Client], plan: Plan, names: Mapping[str, str]) -> None:
        self._clients = clients
        self._plan = plan
        self._names = names
        self._relay_max_tokens = plan.named.recipe.relay_max_tokens

    async def run(self, ledger: Ledger, told: Callable[[Record], None]) -> None:
        """Write every line the ledger does not have yet, in order; ``told`` hears of each.

        Raises:
            UnavailableError: The services went away or are not as they were; what is written stays.
        """
        lanes = [(turn, _Lane()) for turn in self._turns(ledger)]
        waiting = iter(lanes)
        workers = [asyncio.create_task(self._work(client, waiting)) for client in self._clients]
        try:
            for _, lane in lanes:
                while (record := await lane.get()) is not None:
                    if isinstance(record, Exception):
                        raise record
                    ledger.append(record)
                    told(record)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _turns(self, ledger: Ledger) -> Iterator[_Turn]:
        """The questions with lines still to write."""
        line = 0
        for block in self._plan.blocks:
            for index, question in enumerate(block.questions):
                done = ledger.done - line
                if done < len(block.arms):
                    compares = done <= 0 or not ledger.failed(line)
                    yield _Turn(block, question, other_context(block.questions, index), line, max(0, done), compares)
                line += len(block.arms)

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
        compares = turn.compares
        if turn.done and compares:
            # The receiver no longer holds the reference of a run that was killed: score it again, write nothing.
            await self._line(client, turn, turn.block.arms[0], "")
        for arm in turn.block.arms[turn.done :]:
            compared = compares and not (arm.reference or arm.wrong_context)
            record = await self._line(client, turn, arm, self._id(turn) if compared else "")
            compares = compares and (record["error"] is None or not arm.reference)
            yield record

    async def _line(self, client: Client, turn: _Turn, arm: Arm, compare_with: str) -> Record:
        block = turn.block
        key: Key = (block.dataset, turn.question.id, arm.name)
        request_id = self._id(turn) if arm.reference else f"{self._id(turn)}-{block.arms.index(arm)}"
        context = turn.other if arm.wrong_context else turn.question.context
        asking = Asking(
            exchange=arm.exchange(self._relay_max_tokens),
            info=RequestInfo(request_id=request_id, caller=CALLER),
            context=None if context is None else Text(context),
            keep=arm.reference,
            compare_with=compare_with,
        )
        try:
            reply = await turn.question.ask(client, asking)
        except _ENDS_THE_RUN as error:
            raise UnavailableError(
                f"{key[0]}, item {key[1]}, {key[2]}: {type(error).__name__}: {error}; "
                "what is written stays, run the same command again to go on"
            ) from error
        except KvwireError as error:
            return failed(key, self._without_addresses(error))
        return answered(key, reply.result, reply.report, reply.first_token_s, reply.total_s)

    def _id(self, turn: _Turn) -> str:
        """The reference's request id: the same in every run, so that its bytes are too."""
        return f"{self._plan.named.sha256[:16]}-{turn.first_line:08}"

    def _without_addresses(self, error: KvwireError) -> str:
        text = f"{type(error).__name__}: {error}"
        for address, name in self._names.items():
            text = text.replace(address, name)
        return text
