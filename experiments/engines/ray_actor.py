"""What runs inside of a Ray actor: a pair of its own, and the worker that every engine has. It knows nothing of Ray."""

import os
import sys
from contextlib import ExitStack
from functools import cached_property

from experiments.engines.base import Introduction, Start
from experiments.engines.pair_worker import PairWorker
from experiments.recipe import NamedRecipe
from experiments.record import Record
from experiments.turn import Turn
from kvwire.errors import UnavailableError

NAME = "ray"


class PairActor:
    """Starts a pair on the machine it is put on. The pair ends with this process, however that happens."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._pair = ExitStack()

    @cached_property
    def _worker(self) -> PairWorker:
        """The first call starts the pair, and can say what went wrong; a constructor could only die of it."""
        return PairWorker(*self._pair.enter_context(self._start()), NAME)

    async def introduce(self) -> Introduction:
        """As the worker does."""
        return await self._worker.introduce()

    async def check(self, named: NamedRecipe) -> None:
        """As the worker does."""
        await self._worker.check(named)

    async def answer(self, turn: Turn) -> list[Record]:
        """All lines of a turn, or none of them.

        If one of its services went away this process ends, so that Ray starts the actor again with a new pair and
        asks the same turn once more.
        """
        try:
            return [record async for record in self._worker.answers(turn)]
        except UnavailableError as ended:
            if isinstance(ended.__cause__, UnavailableError):
                sys.stderr.write(f"this actor ends, its pair is gone: {ended}\n")
                sys.stderr.flush()
                os._exit(1)
            raise
