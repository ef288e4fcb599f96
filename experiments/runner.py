"""Hands every question to a worker and writes a line for each of its arms, in the plan's order."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from experiments.engines.base import Worker
from experiments.ledger import Ledger
from experiments.plan import Plan
from experiments.record import Record
from experiments.turn import Turn, turns_of

_Lane = asyncio.Queue[Record | Exception | None]


class Runner:
    """Runs one plan, each item on one of the workers, as many items at once as there are workers."""

    def __init__(self, workers: Sequence[Worker], plan: Plan) -> None:
        self._workers = workers
        self._plan = plan

    async def run(self, ledger: Ledger, told: Callable[[Record], None]) -> None:
        """Write every line the ledger does not have yet, in order; ``told`` hears of each.

        Raises:
            UnavailableError: The services went away or are not as they were; what is written stays.
        """
        lanes = [(turn, _Lane()) for turn in turns_of(self._plan, ledger)]
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

    async def _work_all(self, lanes: Sequence[tuple[Turn, _Lane]]) -> None:
        """First what is timed, with nothing beside it; then the others on all workers at once."""
        await self._work(self._workers[0], iter([lane for lane in lanes if lane[0].timed]))
        rest = iter([lane for lane in lanes if not lane[0].timed])
        await asyncio.gather(*(self._work(worker, rest) for worker in self._workers))

    async def _work(self, worker: Worker, waiting: Iterator[tuple[Turn, _Lane]]) -> None:
        """Answer question after question; whatever goes wrong is told to whoever waits for the lines."""
        for turn, lane in waiting:
            try:
                async for record in worker.answers(turn):
                    lane.put_nowait(record)
            except Exception as error:  # noqa: BLE001  # raised again by run
                lane.put_nowait(error)
                return
            lane.put_nowait(None)
