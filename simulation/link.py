"""Links: what is sent leaves at a rate, one message after the other, and is there after a delay."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from simpy import Environment, Event


@dataclass
class Link:
    """One direction of one machine's connection; ``nbytes`` and ``busy_s``: what it has carried, and for how long."""

    rate_bytes_s: float
    delay_s: float = 0.0
    nbytes: int = 0
    busy_s: float = 0.0
    _free_at_s: float = field(default=0.0, repr=False)

    def carry(self, first_s: float, last_s: float, nbytes: int) -> tuple[float, float]:
        """When the first and the last byte of a message are through that come to it at these times."""
        takes_s = nbytes / self.rate_bytes_s
        begins_s = max(first_s, self._free_at_s)
        ends_s = max(begins_s + takes_s, last_s)
        self._free_at_s = ends_s
        self.nbytes += nbytes
        self.busy_s += takes_s
        return begins_s + self.delay_s, ends_s + self.delay_s


@dataclass(frozen=True)
class Path:
    """Links one behind the other. A message is passed on while it comes."""

    links: Sequence[Link]

    def send(self, env: Environment, nbytes: int) -> Event:
        """Send a message now; the event is its arrival."""
        first_s = last_s = env.now
        for link in self.links:
            first_s, last_s = link.carry(first_s, last_s, nbytes)
        return env.timeout(last_s - env.now)
