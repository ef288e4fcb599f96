"""Pareto fronts of quality against bytes, and whether one family's front is above that of all others.

The others seldom have an arm of just the same bytes. One that is to be *above* them must beat those of no more bytes
and also the cheapest of at least its own, whose bytes are more; interpolating between the two would ask less of it, so
this is the conservative choice. To be *below*, it must lose to one that has no more bytes than itself.

Above means: above each of them, by the interval of the paired difference with each. A claim that needs all of its parts
has at most the error of one: R. L. Berger, Technometrics 24 (1982) 295. Below needs only one, so the error grows with
the number of others; nothing corrects for that.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from experiments.statistics.bootstrap import Array, Bootstrap

Side = Literal["above", "between", "not distinguishable", "below"]


class Standing(NamedTuple):
    """How an arm stands to the others at equal bytes, and the ``other`` that decides it, by its place.

    The difference is the arm's quality minus the other's, positive where the arm is better, with its 95 % interval.
    ``between``: above all of no more bytes, and below the cheapest of at least its own.
    """

    other: int
    difference: float
    low: float
    high: float
    side: Side


def pareto_front(sent: Sequence[float], quality: Sequence[float]) -> list[int]:
    """Places of the points that no other beats, by rising bytes.

    A point is beaten by one of no more bytes and no less quality that is better in one of the two.
    sent, quality: ``(points,)``; more quality is better.
    """
    front: list[int] = []
    for place in sorted(range(len(sent)), key=lambda place: (sent[place], -quality[place])):
        if not front or quality[place] > quality[front[-1]] or _same(place, front[-1], sent, quality):
            front.append(place)
    return front


def standing(
    bootstrap: Bootstrap, arm: int, others: Sequence[int], sent: Sequence[float], uppers: Array, lower: Array
) -> Standing | None:
    """Hold an arm against others, on the items that both have a number for; None if there is nobody to hold it against.

    A quality is the sum of ``uppers`` over the sum of ``lower``: ones, where it is a mean.
    arm, others: places. sent: ``(arms,)``. uppers: ``(arms, items)``, more is better. lower: ``(items,)``.
    """
    reach = min((sent[other] for other in others if sent[other] >= sent[arm]), default=float("inf"))
    rivals = [other for other in others if sent[other] <= reach]
    if not rivals:
        return None
    values, lows, highs = bootstrap.ratios(uppers[arm] - uppers[rivals], lower)
    if np.isnan(values).any():
        return None
    cheaper = np.array([sent[other] <= sent[arm] for other in rivals])
    beaten, tied = cheaper & (highs < 0), (lows <= 0) & (highs >= 0)
    side: Side
    if beaten.any():
        side, place = "below", int(np.where(beaten, highs, np.inf).argmin())
    elif (lows > 0).all():
        side, place = "above", int(lows.argmin())
    elif tied.any():
        side, place = "not distinguishable", int(np.where(tied, lows, np.inf).argmin())
    else:
        side, place = "between", int(lows.argmin())
    return Standing(rivals[place], float(values[place]), float(lows[place]), float(highs[place]), side)


def _same(one: int, other: int, sent: Sequence[float], quality: Sequence[float]) -> bool:
    return (sent[one], quality[one]) == (sent[other], quality[other])
