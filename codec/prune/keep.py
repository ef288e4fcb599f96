"""How much of a cache to keep, as a spec says it."""

from dataclasses import dataclass
from typing import Literal

from codec.parameters import texts, write
from kvwire.errors import SpecError


@dataclass(frozen=True)
class Keep:
    """How many tokens stay, who chooses, whether heads choose alone, how many first tokens stay in any case."""

    ratio: float
    by: str = "recency"
    scope: Literal["layer", "head"] = "layer"
    sinks: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise SpecError(f"keep must be a ratio above 0 and up to 1; {self.ratio} is not")

    def count(self, tokens: int) -> int:
        """How many of ``tokens`` stay: the ratio of them, rounded half up, but at least one."""
        return max(1, int(self.ratio * tokens + 0.5))

    def __str__(self) -> str:
        rest = "".join(f",{key}={value}" for key, value in texts(self) if key != "ratio")
        return f"keep={write(self.ratio)}{rest}"
