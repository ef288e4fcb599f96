"""Shows how far a closed loop is, and how many answers were right."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadtest.bar import bar
from loadtest.driver import Outcome


@contextmanager
def progress(title: str, items: int) -> Iterator[Callable[[Outcome], None]]:
    """Yield the function that is told of each outcome."""
    done = right = 0
    with bar(title, items, "items", lambda: f"{right} right") as shown:

        def told(outcome: Outcome) -> None:
            nonlocal done, right
            done, right = done + 1, right + outcome.result.right
            shown(done)

        yield told
