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
    """As many workers as ``starts``, all on this machine."""

    starts: Sequence[Start]
    connect: Callable[[str], Client] = Client

    @property
    def facts(self) -> dict[str, Any]:
        """How many items run at once."""
        return {"engine": NAME, "workers": len(self.starts)}

    @contextmanager
    def workers(self) -> Iterator[Sequence[Worker]]:
        """Start one pair after the other."""
        with ExitStack() as stack:
            yield [PairWorker(*stack.enter_context(start()), NAME, self.connect) for start in self.starts]
