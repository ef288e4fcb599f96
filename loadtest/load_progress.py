"""Shows how a load goes while it runs: how many requests failed, and how long the latest answers took."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadtest.bar import bar
from loadtest.intervals import percentiles
from loadtest.open_loop import Sent

#: The figures are of so many answers before: enough for a 95th percentile, few enough to be about now.
_RECENT = 200


class Figures:
    """How many requests failed, and how long the last answers took."""

    def __init__(self) -> None:
        self.ended = 0
        self._failed = 0
        self._recent_ms: deque[float] = deque(maxlen=_RECENT)

    def add(self, sent: Sent) -> None:
        """Count one that ended."""
        self.ended += 1
        if sent.ok:
            self._recent_ms.append(1000 * sent.total_s)
        else:
            self._failed += 1

    def __str__(self) -> str:
        found = percentiles(self._recent_ms)
        took = f", p50 {found.p50:.0f} ms, p95 {found.p95:.0f} ms of the last {len(self._recent_ms)}" if found else ""
        return f"{self._failed} failed{took}"


@contextmanager
def load_progress(title: str, requests: int) -> Iterator[Callable[[Sent], None]]:
    """Yield the function that is told of each request that ended."""
    figures = Figures()
    with bar(title, requests, "requests", lambda: str(figures)) as shown:

        def told(sent: Sent) -> None:
            figures.add(sent)
            shown(figures.ended)

        yield told
