"""Divides time over the datasets of many recipes: how many items of each."""

from collections.abc import Sequence
from dataclasses import dataclass

#: An item's control needs another item, and an interval needs more than one.
LEAST_ITEMS = 2


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

    def items(self, seconds: float) -> int:
        """As many as fit, but not fewer than the least, nor more than there are."""
        if seconds >= self.seconds(self.most_items):
            return self.most_items
        alone = min(self.timed, int(seconds / self.alone_s))
        rest = int((seconds - self.timed * self.alone_s) / self.together_s) if alone == self.timed else 0
        return max(min(alone + rest, self.most_items), min(LEAST_ITEMS, self.most_items))


def divided(costs: Sequence[Cost], seconds: float) -> list[int]:
    """Items of each in so many seconds: equal times, and what one cannot use goes to the others.

    Where even the least takes longer, it is the least.
    """
    sizes = [0] * len(costs)
    left, open_ = seconds, sorted(range(len(costs)), key=lambda at: costs[at].seconds(costs[at].most_items))
    for done, at in enumerate(open_):
        sizes[at] = costs[at].items(left / (len(open_) - done))
        left -= costs[at].seconds(sizes[at])
    return sizes
