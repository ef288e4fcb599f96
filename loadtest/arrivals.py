"""When requests are sent: a schedule drawn before the run, that no answer can delay.

Gaps of mean 1 are drawn first, then stretched so that arrivals come at the wanted rate; where the rate changes over
time the same gaps are laid along its integral, which keeps a Poisson process one (time change of a point process).
Source: D. Daley and D. Vere-Jones, "An Introduction to the Theory of Point Processes", 2nd ed., section 7.4.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from kvwire.errors import InvalidRequestError

Gaps = Callable[[Generator], Iterator[float]]

#: What became of each is kept to the end of a run, some kilobytes.
_MOST_REQUESTS = 10_000_000
#: A burst of a thousand requests; far below, no gap is left that a number can hold.
_LEAST_SHAPE = 1e-3


@dataclass(frozen=True)
class Load:
    """``arrivals``: poisson, constant, gamma:SHAPE or trace:FILE, at ``rate_rps`` requests per second for a time.

    With ``ramp_to_rps`` the rate rises or falls evenly to that. Of a trace, only ``duration_s`` counts.
    """

    arrivals: str
    rate_rps: float
    duration_s: float
    ramp_to_rps: float | None = None
    seed: int = 0


def schedule(load: Load) -> tuple[float, ...]:
    """Seconds from the start at which requests are to be sent, ascending; the same for the same load.

    Raises:
        InvalidRequestError: An unknown kind, a rate or a time that cannot be, a trace that does not read, or nobody
            comes in that time.
    """
    if not 0 < load.duration_s < float("inf"):
        raise InvalidRequestError(f"a run of {load.duration_s} seconds; it must be longer than 0 and end")
    kind, _, argument = load.arrivals.partition(":")
    found = _trace(Path(argument), load.duration_s) if kind == "trace" else _drawn(load, _gaps(kind, argument))
    if not found:
        raise InvalidRequestError(f"no request arrives within {load.duration_s} s; raise the rate or the duration")
    return found


def _drawn(load: Load, gaps: Gaps) -> tuple[float, ...]:
    end = load.rate_rps if load.ramp_to_rps is None else load.ramp_to_rps
    if min(load.rate_rps, end) < 0 or max(load.rate_rps, end) <= 0:
        raise InvalidRequestError(f"rates of {load.rate_rps} to {end} requests per second; one must be above 0")
    expected = load.duration_s * (load.rate_rps + end) / 2
    if not expected <= _MOST_REQUESTS:  # nor is what is no number
        raise InvalidRequestError(
            f"rates of {load.rate_rps} to {end} for {load.duration_s} s are about {expected:.3g} requests, more than "
            f"{_MOST_REQUESTS:,}; lower the rate or the duration"
        )
    times, total = list[float](), 0.0
    for gap in gaps(np.random.default_rng(load.seed)):
        total += gap
        if total >= expected:
            return tuple(times)
        times.append(_when(total, load.rate_rps, (end - load.rate_rps) / load.duration_s))
    return tuple(times)


def _when(count: float, rate: float, slope: float) -> float:
    """The time t by which ``count`` requests are expected: rate t + slope t^2 / 2, solved without cancellation."""
    return 2 * count / (rate + float(np.sqrt(rate * rate + 2 * slope * count)))


def _gaps(kind: str, argument: str) -> Gaps:
    match kind, argument:
        case "poisson", "":
            return lambda random: iter(random.exponential, None)
        case "constant", "":
            return lambda _: iter(lambda: 1.0, None)
        case "gamma", _:
            shape = _shape(argument)
            return lambda random: iter(lambda: random.gamma(shape, 1 / shape), None)
    raise InvalidRequestError(f"arrivals {kind!r} are not known; use poisson, constant, gamma:SHAPE or trace:FILE")


def _shape(text: str) -> float:
    try:
        shape = float(text)
    except ValueError:
        shape = 0.0
    if not _LEAST_SHAPE <= shape < float("inf"):
        raise InvalidRequestError(
            f"gamma:{text}: a shape of at least {_LEAST_SHAPE} is needed; below 1 is burstier than poisson"
        )
    return shape


def _trace(path: Path, duration_s: float) -> tuple[float, ...]:
    """One number per line, in seconds."""
    try:
        times = [float(line) for line in path.read_text(encoding="utf-8").split()]
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"trace {path} does not read ({error}); write one number of seconds a line") from None
    if not all(np.isfinite(times)) or times != sorted(times) or (times and times[0] < 0):
        raise InvalidRequestError(f"trace {path}: times must be 0 or more and never fall")
    return tuple(time for time in times if time < duration_s)
