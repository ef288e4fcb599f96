"""Keeps the caches of what contexts stand behind: a token or a few, alike for all, which take a pass of their own."""

from collections.abc import Sequence

from cachetools import LRUCache

from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Engine
from kvwire.engine.question import Question
from kvwire.engine.worker import Worker

#: Longer ones are no opening of a template, but a text of somebody's.
_MOST_TOKENS = 16
#: SmolLM2 takes 46 kB for each token of each.
_KEPT = 64


class Openings:
    """Of one receiver; on the event loop. A caller's are its own, like all that is kept."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self._kept = LRUCache[tuple[str, tuple[int, ...]], PositionedCache](_KEPT)

    async def begin(self, cache: PositionedCache, opening: Sequence[int], question: Question) -> None:
        """Have an empty cache begin with an opening; only one that is not kept waits for a turn.

        Raises:
            CancelledError, DeadlineError: The request ended.
        """
        key = (question.info.caller, tuple(opening))
        kept = self._kept.get(key)
        if kept is None:
            kept = self._engine.new_cache()
            await self._worker.run(lambda: self._engine.read(opening, kept, 0), question.task)
            if len(opening) <= _MOST_TOKENS:
                self._kept[key] = kept
        cache.begin_as(kept)
