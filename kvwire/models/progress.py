"""What the user sees while a model is pulled, on stderr: bars on a terminal, plain lines anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

#: Called with the bytes done so far.
Arrived = Callable[[int], None]


class PullProgress(Protocol):
    """How a pull reports itself."""

    def stage(self, label: str, total_bytes: int = 0) -> AbstractContextManager[Arrived]:
        """One stage of work; ``total_bytes`` is 0 where nothing can be counted."""

    def say(self, line: str) -> None:
        """Tell something that is no stage."""


class TerminalProgress:
    """A bar for each stage that counts bytes, a spinner for the others."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, label: str, total_bytes: int = 0) -> Iterator[Arrived]:
        """Show the label until the body ends."""
        if not total_bytes:
            with self._console.status(label):
                yield lambda _done_bytes: None
            self._console.print(label, highlight=False)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task(label, total=total_bytes)
            yield lambda done_bytes: bar.update(task, completed=done_bytes)
            bar.update(task, completed=total_bytes)

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(line, highlight=False)


class LineProgress:
    """One line as each stage starts, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @contextmanager
    def stage(self, label: str, total_bytes: int = 0) -> Iterator[Arrived]:
        """Print the label once."""
        self.say(f"{label} ({decimal(total_bytes)})" if total_bytes else label)
        yield lambda _done_bytes: None

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, file=self._out, flush=True)


def default_progress() -> PullProgress:
    """Bars where stderr is a terminal, lines elsewhere."""
    # The file is pinned: a conversion silences libraries by redirecting sys.stderr; the spinner must stay.
    console = Console(file=sys.stderr)
    return TerminalProgress(console) if console.is_terminal else LineProgress(sys.stderr)
