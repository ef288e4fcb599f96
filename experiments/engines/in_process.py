"""Pairs beside this process, or one that runs already; this process asks them itself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from experiments.engines.base import Start, Worker
from experiments.engines.pair_worker import PairWorker
from kvwire.client import Client

NAME = "in-process"


@dataclass(frozen=True)
class InProcess:
    """So many ``pairs``, all on this machine."""

    pairs: int = 1
    connect: Callable[[str], Client] = Client

    @property
    def facts(self) -> dict[str, Any]:
        """How many items run at once."""
        return {"engine": NAME, "workers": self.pairs}

    @contextmanager
    def workers(self, start: Start) -> Iterator[Sequence[Worker]]:
        """Start one pair after the other."""
        with ExitStack() as stack:
            yield [PairWorker(*stack.enter_context(start()), NAME, self.connect) for _ in range(self.pairs)]
