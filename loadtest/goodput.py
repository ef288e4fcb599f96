"""Goodput: requests per second that were answered as fast as promised.

Source: Y. Zhong et al., "DistServe", arXiv 2401.09670, section 2.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kvwire.errors import InvalidRequestError
from loadtest.open_loop import Sent

_UNITS_S = {"ms": 0.001, "s": 1.0}
_PART = re.compile(r"(ttft|e2e|itl)=(\d+(?:\.\d+)?)(ms|s)")


@dataclass(frozen=True)
class Slo:
    """What is promised, in seconds, None where nothing is; ``itl_s`` of the mean gap between a request's tokens."""

    ttft_s: float | None = None
    e2e_s: float | None = None
    itl_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Slo":
        """Read ``ttft=300ms,e2e=2s,itl=50ms``, any of them; nothing promises nothing.

        Raises:
            InvalidRequestError: It reads otherwise.
        """
        found: dict[str, float] = {}
        for part in filter(None, text.split(",")):
            match = _PART.fullmatch(part)
            if match is None or f"{match[1]}_s" in found:
                raise InvalidRequestError(f"SLO {text!r}: {part!r} is not one of ttft=300ms, e2e=2s and itl=50ms, once")
            found[f"{match[1]}_s"] = float(match[2]) * _UNITS_S[match[3]]
        return cls(**found)

    def met(self, sent: Sent) -> bool:
        """Whether a request was answered, and as promised."""
        gaps = sent.outcome.itl_s
        mean_gap_s = sum(gaps) / len(gaps) if gaps else 0.0
        pairs = ((sent.first_token_s, self.ttft_s), (sent.total_s, self.e2e_s), (mean_gap_s, self.itl_s))
        return sent.ok and all(limit is None or value <= limit for value, limit in pairs)


def goodput_rps(sent: Sequence[Sent], slo: Slo, seconds: float) -> float:
    """Requests per second that met the SLO, over the time in which they were due."""
    return sum(map(slo.met, sent)) / seconds
