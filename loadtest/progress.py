"""Shows how far a run is: a bar on a terminal, plain lines elsewhere; always on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadtest.driver import Outcome

# Lines between two plain reports: often enough to see life, rarely enough to read.
_LINES = 4


@contextmanager
def progress(title: str, items: int) -> Iterator[Callable[[Outcome], None]]:
    """Yield the function that is told of each outcome."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=items)
            yield lambda _: bar.advance(task)
        return
    done: list[Outcome] = []
    step = max(1, items // _LINES)

    def told(outcome: Outcome) -> None:
        done.append(outcome)
        if len(done) % step == 0 or len(done) == items:
            right = sum(o.result.right for o in done)
            sys.stderr.write(f"{title}: {len(done)}/{items} items, {right} right\n")
            sys.stderr.flush()

    yield told
