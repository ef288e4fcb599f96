"""McNemar's test of two arms that were right or wrong on the same items, exact.

Source: Q. McNemar, Psychometrika 12 (1947) 153; the exact form is a sign test on the items the arms differ in.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Two-sided p: how likely so uneven a split of the items only one got right is, if both are equally good.

    Both: ``(items,)``. 1 if the arms differ nowhere.
    """
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    differing = first + second
    tail = sum(comb(differing, count) for count in range(min(first, second) + 1))
    # Whole numbers until the last division: no rounding, whatever the number of items.
    return min(1.0, 2 * tail / (1 << differing))
