"""Divides time over the datasets of many recipes: how many items of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: An item's control needs another item, and an interval needs more than one.
LEAST_ITEMS = 2

_HALVINGS = 60


@dataclass(frozen=True)
class Cost:
    """What an item takes by all arms, in seconds: asked one arm at a time, as the first ``timed`` are, or together."""

    alone_s: float
    together_s: float
    timed: int
    most_items: int

    def seconds(self, items: int) -> float:
        """Of so many items."""
        alone = min(items, self.timed)
        return alone * self.alone_s + (items - alone) * self.together_s

    def within(self, items: float) -> int:
        """So many, but not fewer than the least, nor more than there are."""
        return int(max(min(items, self.most_items), min(LEAST_ITEMS, self.most_items)))


def divided(costs: Sequence[Cost], seconds: float) -> list[int]:
    """Items of each in so many seconds, inversely to the root of what one takes, and no more than there are.

    That makes the sum of squared standard errors least, if items scatter alike: an equal number of each would spend
    nearly all on the dearest, equal times would leave those with two or three. Where even the least takes longer, it
    is the least. Source: W. Cochran, Sampling Techniques, 3rd ed., 1977, section 5.5.
    """

    def sizes(scale: float) -> list[int]:
        return [cost.within(scale / math.sqrt(cost.together_s)) for cost in costs]

    low, high = 0.0, max((cost.most_items * math.sqrt(cost.together_s) for cost in costs), default=0.0)
    if seconds == math.inf:
        return sizes(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = sum(cost.seconds(items) for cost, items in zip(costs, sizes(middle), strict=True)) <= seconds
        low, high = (middle, high) if fits else (low, middle)
    return sizes(low)
