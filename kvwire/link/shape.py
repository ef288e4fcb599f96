"""What a link is: its rate, delay and loss, as ``tc`` writes them."""

import re
from dataclasses import dataclass

from kvwire.errors import InvalidRequestError

_BITS_PER_S = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_SHARES = {"%": 1e-2, "": 1.0}

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-z%]*)")


@dataclass(frozen=True)
class Shape:
    """A link, alike in both directions. ``rate_bytes_s`` counts what TCP carries, not the headers of TCP and IP.

    ``delay_s`` is one way. ``loss`` is the share of segments that are lost on the way and sent again.
    """

    rate_bytes_s: float
    delay_s: float = 0.0
    loss: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_bytes_s <= 0 or self.delay_s < 0 or not 0 <= self.loss < 1:
            raise InvalidRequestError(
                f"a link of {self.rate_bytes_s} bytes/s, {self.delay_s} s and loss {self.loss} cannot be; give a rate "
                "above 0, a delay of at least 0 and a loss below 100%"
            )

    @classmethod
    def parse(cls, rate: str, delay: str = "0ms", loss: str = "0%") -> "Shape":
        """Read ``100mbit``, ``5ms`` and ``0.1%``.

        Raises:
            InvalidRequestError: One of them is not such a quantity.
        """
        bits_s = _quantity("rate", rate, _BITS_PER_S, "100mbit")
        return cls(bits_s / 8, _quantity("delay", delay, _SECONDS, "5ms"), _quantity("loss", loss, _SHARES, "0.1%"))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The options of the command that starts such a link."""
        rate, delay = f"{8 * self.rate_bytes_s:.0f}bit", f"{1e6 * self.delay_s:.0f}us"
        return ("--rate", rate, "--delay", delay, "--loss", f"{self.loss:f}")


def _quantity(what: str, text: str, units: dict[str, float], example: str) -> float:
    found = _QUANTITY.fullmatch(text.strip().lower())
    if found is None or found[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise InvalidRequestError(f"{text!r} is no {what}; write a number and one of {known}, for example {example}")
    return float(found[1]) * units[found[2]]
