"""Contexts that were asked of a sharer lately, to tell what of them need not be done again."""

from collections import Counter

from cachetools import LRUCache

from kvwire.known import Known
from kvwire.requests import Input

_CONTEXTS = 1024

#: A sharer keeps a context's layers the first time it sends them, and frames the second time it makes them.
_TIMES_UNTIL_FRAMES = 2


class Contexts:
    """Remembers how often which context was asked for, as which codec and on whose behalf; not what it says.

    Whether sharer and receiver keep anything is told by what they did when a context came again.
    """

    def __init__(self) -> None:
        self._asked = LRUCache[int, Counter[str]](_CONTEXTS)
        self._sharer_keeps = True
        self._receiver_holds = True

    def learn(self, caller: str, context: Input, codec: str, found: Known) -> None:
        """Take in that a context was asked for, and what turned out to be there."""
        which = hash((caller, context))
        times = self._asked.setdefault(which, Counter())
        if times[codec]:
            self._receiver_holds = found is Known.PLACED
        if times and found is not Known.PLACED:
            self._sharer_keeps = found > Known.NOTHING
        times[codec] = max(times[codec] + 1, _TIMES_UNTIL_FRAMES if found is Known.FRAMES else 0)

    def known(self, caller: str, context: Input, codec: str) -> Known:
        """What is to be expected."""
        times = self._asked.get(hash((caller, context)))
        if not times:
            return Known.NOTHING
        if times[codec] and self._receiver_holds:
            return Known.PLACED
        if not self._sharer_keeps:
            return Known.NOTHING
        return Known.FRAMES if times[codec] >= _TIMES_UNTIL_FRAMES else Known.LAYERS
