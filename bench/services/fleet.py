"""Several sharers and several receivers of one model, each of which can be started anew at its address."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.services.scrape import Scrape
from kvwire.processes import FREE_PORTS, RunningService, running_service


class Restartable:
    """A service's process, and after :meth:`restart` the next one that listens where it did."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        self._module = module
        self._arguments = arguments
        self._at: Sequence[str] = FREE_PORTS
        self._log = log
        self._start()

    @property
    def address(self) -> str:
        """Of its gRPC."""
        return self.service.address

    def scrape(self) -> Scrape:
        """Its metrics now; they begin anew with its process."""
        return Scrape.of(self.service.metrics)

    def restart(self) -> None:
        """SIGTERM, wait until it has drained, and start it again.

        Raises:
            StartError: It did not start.
        """
        self._at = ["--listen", self.service.address, "--metrics-listen", self.service.metrics]
        self.stop()
        self._start()

    def stop(self) -> None:
        """SIGTERM, and wait until it has drained."""
        self._running.__exit__(None, None, None)

    def _start(self) -> None:
        self._running = running_service(self._module, [*self._arguments, *self._at], self._log)
        self.service: RunningService = self._running.__enter__()


@dataclass(frozen=True)
class Fleet:
    """Every receiver knows every sharer, as ``sharer``."""

    sharers: tuple[Restartable, ...]
    receivers: tuple[Restartable, ...]

    @property
    def receiver(self) -> str:
        """As a client is told of them."""
        return ",".join(each.address for each in self.receivers)


@contextmanager
def fleet(
    arguments: Sequence[str], logs: Path, size: int = 2, receiver_arguments: Sequence[str] = ()
) -> Iterator[Fleet]:
    """So many of each; ``arguments`` go to all.

    Raises:
        StartError: One did not start.
    """
    with ExitStack() as stack:

        def started(module: str, number: int, *further: str) -> Restartable:
            service = Restartable(module, [*arguments, *further], logs / f"{module}-{number}.log")
            stack.callback(service.stop)
            return service

        sharers = tuple(started("sharer_service", number) for number in range(size))
        known = f'{{"sharer": "{",".join(each.address for each in sharers)}"}}'
        further = ["--sharers", known, *receiver_arguments]
        yield Fleet(sharers, tuple(started("receiver_service", number, *further) for number in range(size)))
