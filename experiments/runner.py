"""Asks every question by every arm, one after the other, and writes a line for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

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
    """One question of a block: where its lines begin, and the context of its control."""

    question: Question
    first_line: int
    other: str | None


class Runner:
    """Runs one plan against one receiver. ``names`` are what errors call the addresses, which change with every run."""

    def __init__(self, client: Client, plan: Plan, names: Mapping[str, str]) -> None:
        self._client = client
        self._plan = plan
        self._names = names
        self._relay_max_tokens = plan.named.recipe.relay_max_tokens

    async def run(self, ledger: Ledger, told: Callable[[Record], None]) -> None:
        """Write every line the ledger does not have yet; ``told`` hears of each.

        Raises:
            UnavailableError: The services went away or are not as they were; what is written stays.
        """
        line = 0
        for block in self._plan.blocks:
            for index, question in enumerate(block.questions):
                turn = _Turn(question, line, other_context(block.questions, index))
                line += len(block.arms)
                if ledger.done < line:
                    await self._ask_all(block, turn, ledger, told)

    async def _ask_all(self, block: Block, turn: _Turn, ledger: Ledger, told: Callable[[Record], None]) -> None:
        done = ledger.done - turn.first_line
        if done and not ledger.failed(turn.first_line):
            # The receiver no longer holds the reference of a run that was killed: score it again, write nothing.
            await self._line(block, turn, block.arms[0], "")
        for arm in islice(block.arms, done, None):
            compared = not (arm.reference or arm.wrong_context or ledger.failed(turn.first_line))
            record = await self._line(block, turn, arm, self._id(turn) if compared else "")
            ledger.append(record)
            told(record)

    async def _line(self, block: Block, turn: _Turn, arm: Arm, compare_with: str) -> Record:
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
            reply = await turn.question.ask(self._client, asking)
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
