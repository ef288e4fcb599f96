"""From values to pixels, and where the ticks stand."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Below this many tenfolds, ticks at powers of ten alone would be one or none.
_FEW_DECADES = 2.0


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from ``low`` to ``high``, drawn from pixel ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    text: Callable[[float], str]

    def at(self, value: float) -> float:
        """The pixel of a value, kept between the ends."""
        low, high, here = (self._scaled(v) for v in (self.low, self.high, min(max(value, self.low), self.high)))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        found = self._inside(_log_ticks(self.low, self.high)) if self.log else []
        # One alone says nothing of the scale.
        return found if len(found) > 1 else self._inside(_ticks(self.low, self.high))

    def _inside(self, ticks: Iterable[float]) -> list[float]:
        return [tick for tick in ticks if self.low <= tick <= self.high]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value


def axis_for(values: Iterable[float], start: float, end: float, *, log: bool, text: Callable[[float], str]) -> Axis:
    """An axis with a little room around the values; a logarithmic one takes the positive ones."""
    inside = [value for value in values if not log or value > 0] or [1.0]
    low, high = min(inside), max(inside)
    if log:
        return Axis(low / 1.3, high * 1.3, start, end, log, text)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - room, high + room, start, end, log, text)


def share_text(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.4g} %"


def number_text(value: float) -> str:
    """A plain number."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004  # .3g would write 1e+03


def text_of(*, share: bool) -> Callable[[float], str]:
    """How a share, or else a plain number, is written."""
    return share_text if share else number_text


def bytes_text(value: float) -> str:
    """Bytes with a decimal unit."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} B"


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    # From the rounded count, so that 3 * 0.1 does not print as 0.30000000000000004.
    return [round(count * step, 12) for count in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    factors = (1,) if math.log10(high / low) > _FEW_DECADES else (1, 2, 5)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**decade for decade in decades for factor in factors]
