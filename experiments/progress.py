"""Shows how far a run is, and how many of its lines are failures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from experiments.record import Record
from loadtest.bar import bar


@contextmanager
def progress(title: str, done: int, total: int) -> Iterator[Callable[[Record], None]]:
    """Yield the function that is told of each line; ``done`` of ``total`` are there already."""
    failures, dataset = 0, ""
    with bar(title, total, "lines", lambda: f"{failures} failed, {dataset}") as shown:

        def told(record: Record) -> None:
            nonlocal done, failures, dataset
            done, failures, dataset = done + 1, failures + (record["error"] is not None), record["dataset"]
            shown(done)

        yield told
