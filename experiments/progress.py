"""Shows how far a run is: a bar on a terminal, plain lines elsewhere; always on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.record import Record

# Seconds between two plain reports: a run takes up to an hour, and a log should show that it lives.
_EVERY_S = 30.0


@contextmanager
def progress(title: str, done: int, total: int) -> Iterator[Callable[[Record], None]]:
    """Yield the function that is told of each line; ``done`` of ``total`` are there already."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total, completed=done)
            yield lambda _: bar.advance(task)
        return
    yield _plain(title, done, total)


def _plain(title: str, done: int, total: int) -> Callable[[Record], None]:
    count, failures, shown = done, 0, time.monotonic()

    def told(record: Record) -> None:
        nonlocal count, failures, shown
        count, failures = count + 1, failures + (record["error"] is not None)
        if count == total or time.monotonic() - shown >= _EVERY_S:
            shown = time.monotonic()
            sys.stderr.write(f"{title}: {count}/{total} lines, {failures} failed, {record['dataset']}\n")
            sys.stderr.flush()

    return told
