"""The highest rate a service keeps its promise at: doubled until it breaks, then bisected."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Of a probe's requests, so many must meet the SLO.
KEPT_SHARE = 0.99
#: The search ends when what is kept and what is not are so close.
_CLOSE = 1.1
_MOST_DOUBLINGS = 12


@dataclass(frozen=True)
class Probe:
    """One run at ``rate_rps``: the share of requests that met the SLO, and whether the tester kept up with itself."""

    rate_rps: float
    good_share: float
    valid: bool

    @property
    def kept(self) -> bool:
        """Whether the service kept its promise; a tester that was late cannot say so."""
        return self.valid and self.good_share >= KEPT_SHARE


def find_capacity(probe: Callable[[float], Probe], first_rps: float) -> Iterator[Probe]:
    """Probe rates until the capacity is known to a tenth; :func:`capacity_rps` reads it off.

    The search goes up from a first rate that is kept, down from one that is not, by factors of 2, at most 12 of them.
    """
    tried = probe(first_rps)
    yield tried
    step = 2.0 if tried.kept else 0.5
    before = tried
    for _ in range(_MOST_DOUBLINGS):
        tried = probe(before.rate_rps * step)
        yield tried
        if tried.kept is not before.kept:
            break
        before = tried
    else:
        return
    low, high = sorted((before.rate_rps, tried.rate_rps))
    while high / low > _CLOSE:
        tried = probe((low * high) ** 0.5)
        yield tried
        low, high = (tried.rate_rps, high) if tried.kept else (low, tried.rate_rps)


def capacity_rps(probes: list[Probe]) -> float:
    """The highest rate that was kept below the lowest that was not; 0 if none was."""
    broken = min((each.rate_rps for each in probes if not each.kept), default=float("inf"))
    return max((each.rate_rps for each in probes if each.kept and each.rate_rps < broken), default=0.0)
