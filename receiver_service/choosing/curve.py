"""Seconds that some work takes by its number of tokens, as it was seen lately."""

import math
from collections import deque
from statistics import median

import numpy as np

#: Of so many latest times the median counts, so that one slow one does not.
LATEST = 5

#: Numbers of tokens whose logarithms to the base of 2 round to the same half are taken together.
_STEPS_PER_DOUBLING = 2

#: Numbers of tokens that differ by no more than this factor are about as many.
_ALIKE = 1.25


class Curve:
    """Learns times; between numbers of tokens that were seen it is a straight line."""

    def __init__(self) -> None:
        self._seen: dict[int, deque[tuple[int, float]]] = {}

    def learn(self, tokens: int, seconds: float) -> None:
        """Take in one time; work on no tokens is none."""
        if tokens > 0:
            near = round(_STEPS_PER_DOUBLING * math.log2(tokens))
            self._seen.setdefault(near, deque(maxlen=LATEST)).append((tokens, seconds))

    def near(self, tokens: int) -> float | None:
        """Seconds for so many tokens, if about as many were seen."""
        counts = (median(count for count, _ in each) for each in self._seen.values())
        alike = any(max(tokens, count) <= _ALIKE * min(tokens, count) for count in counts)
        return self.at(tokens) if alike else None

    def at(self, tokens: int) -> float:
        """Seconds for so many tokens; 0 while nothing is known, so that it is tried and found out."""
        if not self._seen:
            return 0.0
        known = [self._seen[near] for near in sorted(self._seen)]
        counts = [median(count for count, _ in each) for each in known]
        seconds = [median(took for _, took in each) for each in known]
        return float(np.interp(tokens, counts, seconds)) * max(1.0, tokens / counts[-1])
