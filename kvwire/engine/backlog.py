"""What waits to be read on one compute thread: who could only miss its deadline behind it is told so at once."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kvwire.errors import FullError

#: By so many of the latest passes the pace is known.
_PASSES = 16

#: A pass of fewer tokens takes as long as the weights do, and says nothing of a token's share.
_LEAST_TOKENS = 64


class Backlog:
    """Tokens that wait, and how long so many take by the pace of late. Belongs to the event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: set[Waiting] = set()
        self._passes: deque[tuple[int, float]] = deque(maxlen=_PASSES)

    @contextmanager
    def waiting(self, tokens: int) -> Iterator["Waiting"]:
        """Count tokens until they are being read, or nobody waits for them any more."""
        waiting = Waiting(self, tokens)
        self._waiting.add(waiting)
        try:
            yield waiting
        finally:
            self._waiting.discard(waiting)

    @contextmanager
    def reading(self, read: Sequence["Waiting"]) -> Iterator[None]:
        """Around the pass that reads them and nothing else, on the compute thread; one that fails tells no pace."""
        tokens, begun_s = sum(each.begun() for each in read), self._clock()
        yield
        if tokens >= _LEAST_TOKENS:
            self._passes.append((tokens, self._clock() - begun_s))

    @property
    def tokens(self) -> int:
        """How many wait; those that are being read are not among them."""
        return sum(each.tokens for each in self._waiting)

    @property
    def wait_s(self) -> float:
        """How long they take at least: between passes other work has its turn. 0 as long as no pace is known."""
        passes = tuple(self._passes)
        if not passes:
            return 0.0
        return self.tokens * sum(took_s for _, took_s in passes) / sum(tokens for tokens, _ in passes)

    def check(self, remaining_s: float | None) -> None:
        """Refuse a request that has so much time, if all of it would pass before its turn came.

        Raises:
            FullError: With the estimate and the time.
        """
        if remaining_s is not None and (wait_s := self.wait_s) > remaining_s:
            raise FullError(
                f"{self.tokens} tokens wait to be read before the request's, some {wait_s:.1f} s at the pace of the "
                f"latest passes, and its deadline is in {remaining_s:.1f} s; retry with backoff, or allow more time"
            )


class Waiting:
    """Tokens that wait, for those who read them."""

    def __init__(self, backlog: Backlog, tokens: int) -> None:
        self.backlog = backlog
        self.tokens = tokens

    def begun(self) -> int:
        """They wait no longer; how many they were. From any thread."""
        tokens, self.tokens = self.tokens, 0
        return tokens
