"""Reads the last tokens of questions before their answers begin; those that wait meanwhile are read in one pass.

Sequences stand side by side in it, without padding, so their lengths need not be alike.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from kvwire.engine.backlog import Waiting
from kvwire.engine.engine import Engine, Part
from kvwire.engine.question import Prepared, Question, Ready
from kvwire.engine.worker import Worker, check_all
from kvwire.errors import KvwireError

#: Tokens of one pass; beyond some hundreds the weights' share of a pass is small, and answers being written wait.
_TOKENS_TOGETHER = 512


@dataclass(eq=False)
class _Unread:
    """What is left to read of a question, and who waits for it."""

    prepared: Prepared
    question: Question
    waiting: Waiting
    ready: "asyncio.Future[Ready]"
    since_s: float = field(default_factory=time.perf_counter)

    @property
    def tokens(self) -> int:
        return len(self.prepared.unread)


_Outcome = tuple[_Unread, Ready | Exception]


class Reader:
    """Reads on one engine, together what waits together."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self._waiting: deque[_Unread] = deque()  # the event loop appends, the compute thread takes
        self._running: asyncio.Task[None] | None = None

    async def read(self, prepared: Prepared, question: Question) -> Ready:
        """Read what is left of a question.

        Raises:
            InvalidRequestError: There is nothing to read.
            CancelledError, DeadlineError: The request ended.
        """
        with self._worker.backlog.waiting(len(prepared.unread)) as waiting:
            unread = _Unread(prepared, question, waiting, asyncio.get_running_loop().create_future())
            self._waiting.append(unread)
            if self._running is None or self._running.done():
                self._running = asyncio.create_task(self._run())
            return await unread.ready

    async def _run(self) -> None:
        """Pass after pass while anybody waits."""
        while self._waiting:
            for unread, outcome in await self._worker.run(self._pass):
                if unread.ready.cancelled():
                    continue
                if isinstance(outcome, Exception):
                    unread.ready.set_exception(outcome)
                else:
                    unread.ready.set_result(outcome)

    def _pass(self) -> list[_Outcome]:
        """Read those that are first and fit; on the compute thread."""
        outcomes: list[_Outcome] = []
        batch: list[_Unread] = []
        for unread in self._first():
            try:
                unread.question.task.check()
                batch.append(unread)
            except KvwireError as ended:
                outcomes.append((unread, ended))
        begun_s = time.perf_counter()
        if len(batch) > 1:
            tasks = [unread.question.task for unread in batch]
            for unread in batch:  # one that hangs up must not stop the pass of the others
                unread.prepared.cache.listener = lambda *_: check_all(tasks)
        try:
            with self._worker.backlog.reading([each.waiting for each in batch]):
                found = self._read([each.prepared for each in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever
            return outcomes + [(unread, error) for unread in batch]
        ended_s = time.perf_counter()
        for unread, logits in zip(batch, found, strict=True):
            prepared, question = unread.prepared, unread.question
            question.task.waited_s += begun_s - unread.since_s
            question.watch.stretch(prepared.stage, begun_s, ended_s)
            outcomes.append((unread, Ready(prepared.cache, logits, prepared.end, prepared.report)))
        return outcomes

    def _first(self) -> list[_Unread]:
        batch = [self._waiting.popleft()]
        tokens = batch[0].tokens
        while tokens and self._waiting and self._waiting[0].tokens:
            tokens += self._waiting[0].tokens
            if tokens > _TOKENS_TOGETHER:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _read(self, batch: Sequence[Prepared]) -> list[Tensor]:
        """The logits after each one's last token, ``(vocabulary,)`` float32."""
        if not batch:
            return []
        if len(batch) == 1:
            [one] = batch
            logits = [self._engine.next_logits(one.unread, one.cache, one.position)]
        else:
            parts = [Part(each.cache, each.unread, each.position) for each in batch]
            logits = [rows[0] for rows in self._engine.branch_logits(parts)]
        self._engine.synchronize()
        return logits
