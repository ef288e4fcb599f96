"""Shows how far something is: a bar on a terminal, a plain line now and then elsewhere; always on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Often enough to see life, rarely enough to read.
_LINE_EVERY_S = 10.0


@contextmanager
def bar(title: str, total: int, unit: str, figures: Callable[[], str] = str) -> Iterator[Callable[[int], None]]:
    """Yield the function that is told how many of ``total`` are done; ``figures`` are shown beside the count."""
    if not sys.stderr.isatty():
        yield _lines(title, total, unit, figures)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[figures]}"), console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=total, figures="")
        yield lambda done: shown.update(task, completed=done, figures=figures())


def _lines(title: str, total: int, unit: str, figures: Callable[[], str]) -> Callable[[int], None]:
    said_s = time.monotonic()

    def told(done: int) -> None:
        nonlocal said_s
        if done == total or time.monotonic() - said_s >= _LINE_EVERY_S:
            said_s = time.monotonic()
            sys.stderr.write(", ".join(filter(None, (f"{title}: {done}/{total} {unit}", figures()))) + "\n")
            sys.stderr.flush()

    return told
