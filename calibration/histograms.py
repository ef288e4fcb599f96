"""Integer distributions of ``rd``'s symbols, one per deviation in steps, pooled over all coefficients that have it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.entropy.rans import SYMBOLS, TOTAL
from codec.entropy.rans_loops import ESCAPE, OFFSET
from codec.kernels.compile import loop
from codec.quantize.rd import Analysis
from codec.quantize.rd_maps import Maps

#: Deviations from 2**-3 to 2**5.75 steps, a quarter octave apart.
TABLES = 36
#: Squared error, in squares of a step, that a bit is worth.
BIT_COST = 0.15
#: Less likely symbols escape: a share of 1/4096 for each would cost the others more.
_LEAST_SHARE = 2.0**-14
#: Weight of a Laplace distribution, in symbols seen: rules where text was too short to tell.
_PRIOR_COUNT = 200.0
#: The same of a level, which otherwise stays near its symbol.
_LEVEL_COUNT = 20.0


class Histograms:
    """Counts of symbols and sums of the magnitudes, in steps, that fell on them."""

    def __init__(self) -> None:
        self.counts = np.zeros((TABLES, SYMBOLS))
        self.sums = np.zeros((TABLES, SYMBOLS))

    def add(self, half: Analysis) -> None:
        """Count the coefficients of one half of a layer."""
        _count(half.coefficients, half.plan.order, half.plan.counts, half.layout.maps, self.counts, self.sums)

    def frequencies(self) -> NDArray[np.int32]:
        """``(tables, 256)``, each row summing to 4096, symmetric around zero."""
        magnitudes = np.abs(np.arange(ESCAPE) - OFFSET)
        rows = []
        for table, counts in enumerate(self.counts):
            rate = np.sqrt(2) / 2.0 ** (table / 4 - 3)
            prior = np.where(magnitudes == 0, 1 - np.exp(-rate / 2), np.exp(-rate * magnitudes) * np.sinh(rate / 2))
            seen = counts[:ESCAPE] + counts[:ESCAPE][::-1] + _PRIOR_COUNT * prior / prior.sum()
            rows.append(integers(seen))
        return np.stack(rows)

    def roundings(self) -> NDArray[np.float32]:
        """``(tables,)``: where 1 begins to be worth its bits over 0; above, costs rise about as steadily."""
        bits = -np.log2(np.maximum(self.frequencies()[:, OFFSET : OFFSET + 2], 0.5) / TOTAL)
        ones = self.levels()[:, OFFSET + 1]
        threshold = ones / 2 + BIT_COST * (bits[:, 1] - bits[:, 0]) / (2 * ones)
        return np.clip(1 - threshold, -0.2, 0.5).astype(np.float32)

    def levels(self) -> NDArray[np.float32]:
        """``(tables, 256)``: the mean of the magnitudes that fell on a symbol, which no other level beats."""
        values = np.arange(ESCAPE) - OFFSET
        counts = (self.counts + np.roll(self.counts[:, ::-1], -1, axis=1))[:, :ESCAPE]
        sums = (self.sums + np.roll(self.sums[:, ::-1], -1, axis=1))[:, :ESCAPE]
        means = np.sign(values) * (sums + _LEVEL_COUNT * np.abs(values)) / (counts + _LEVEL_COUNT)
        return np.pad(means, ((0, 0), (0, 1))).astype(np.float32)


def integers(seen: NDArray[np.float64]) -> NDArray[np.int32]:
    """``(256,)`` frequencies summing to 4096 for ``(255,)`` counts; the escape has at least 1."""
    shares = seen / seen.sum()
    kept = shares >= _LEAST_SHARE
    frequencies = np.where(kept, np.maximum(1, np.floor(shares * (TOTAL - 1))), 0).astype(np.int64)
    frequencies[int(seen.argmax())] += TOTAL - 1 - frequencies.sum()
    return np.append(frequencies, 1).astype(np.int32)


@loop
def _count(z: Any, order: Any, counts: Any, maps: Maps, seen: Any, sums: Any) -> None:
    for h in range(z.shape[0]):
        first = 0
        for b in range(counts.shape[1]):
            per_step = np.float32(1) / maps.steps[h, b]
            for t in order[h, first : first + counts[h, b]]:
                for j in range(maps.active[h, b]):
                    size = abs(z[h, t, j]) * per_step
                    symbol = np.int32(size + maps.roundings[h, b, j])
                    if symbol > 127:  # noqa: PLR2004  # the largest in a table
                        seen[maps.tables[h, b, j], 255] += 1
                    else:
                        at = 127 + symbol if z[h, t, j] >= 0 else 127 - symbol
                        seen[maps.tables[h, b, j], at] += 1
                        sums[maps.tables[h, b, j], at] += size
            first += counts[h, b]
