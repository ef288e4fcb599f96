"""Which base codes which layer's keys and values, so that the message fits and diverges least: a knapsack.

The parts, keys of every layer and then values of every layer, stand in a row. Each takes one of the profile's codecs,
at its bytes and its divergence; divergences are taken to add up. Where a part's codec differs from its neighbour's and
from the leading base, a range begins, and its text is paid for in every frame: with few tokens that is dear, and few
ranges are made. Dynamic programming over parts and bytes finds the best choice of all, up to the rounding of bytes.
Source: the knapsack by dynamic programming, R. Bellman, "Dynamic Programming" (1957); paying for the text: ours.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from codec.allocate.profile import Profile
from codec.allocate.sizes import CacheShape, half_bytes, header_bytes
from codec.mix import Part
from codec.quantize.base import Kind
from codec.spec import MAX_CHARACTERS, CodecSpec

#: Sizes are rounded up to one in so many of the budget's bytes: with 60 parts that wastes 1.5 % of it.
_GRAINS = 2048
#: Nats that a range costs beside its bytes, from nothing noticeable up, until the spec is short enough to be written.
_PRICES = (0.0, *(1e-7 * 1.4**step for step in range(63)))

_STAYED = -1

_Floats = NDArray[np.float64]
_Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Allocation:
    """A choice, the bytes that its frames take at most, and its divergence by the profile, in nats per token."""

    spec: CodecSpec
    bytes: int
    divergence: float


@lru_cache(maxsize=256)  # half a second for 60 parts; several questions about one context ask for the same
def allocate(profile: Profile, shape: CacheShape, wanted: CodecSpec, limit_bytes: int) -> Allocation:
    """The best choice within the limit, with the options of ``wanted``; if nothing fits, the smallest.

    Raises:
        SpecError: The profile has a codec whose size depends on the data.
    """
    task = _Task(profile, shape, wanted)
    found = [task.uniform(codec) for codec in range(len(task.bases))]
    found += [best for codec in range(len(task.bases)) if (best := task.mixed(limit_bytes, codec))]
    fitting = [each for each in found if each.bytes <= limit_bytes]
    if not fitting:
        return min(found, key=lambda each: each.bytes)
    return min(fitting, key=lambda each: (each.divergence, each.bytes))


class _Task:
    """``sizes``, ``nats``: ``(parts, codecs)``, keys of each sent layer and then values."""

    def __init__(self, profile: Profile, shape: CacheShape, wanted: CodecSpec) -> None:
        self.bases = profile.bases
        self._shape = shape
        self._wanted = wanted
        self._parts = [(kind, layer) for kind in Kind for layer in shape.layers]
        self._sizes: _Counts = np.array(
            [[half_bytes(base, kind, shape, wanted.keep) for base in self.bases] for kind in Kind]
        ).repeat(len(shape.layers), axis=0)
        self._nats: _Floats = np.array(
            [profile.divergences[layer][kind is Kind.VALUE] for kind, layer in self._parts], dtype=np.float64
        )

    def uniform(self, codec: int) -> Allocation:
        """One codec for everything."""
        return self._allocation([codec] * len(self._parts), codec)

    def mixed(self, limit_bytes: int, leading: int) -> Allocation | None:
        """The best with this codec leading, at the least price of ranges that makes the spec short enough."""

        def writable(price: float) -> bool:
            best = self._priced(limit_bytes, leading, price)
            return best is None or len(str(best.spec)) <= MAX_CHARACTERS

        at = bisect_left(_PRICES, True, key=writable)  # what is looked for
        return self._priced(limit_bytes, leading, _PRICES[at]) if at < len(_PRICES) else None

    def _priced(self, limit_bytes: int, leading: int, price: float) -> Allocation | None:
        characters = len(str(self._spec([leading] * len(self._parts), leading))) + len("+mix=")
        headers = (header_bytes(characters, layer, self._shape, self._wanted.keep) for layer in self._shape.layers)
        chosen = self._knapsack(limit_bytes - sum(headers), leading, price)
        return None if chosen is None else self._allocation(chosen, leading)

    def _knapsack(self, room: int, leading: int, price: float) -> list[int] | None:
        """A codec for each part, their bytes and those of ranges' texts within ``room``; None if nothing is."""
        if room < 1:
            return None
        grain = -(-room // _GRAINS)
        best = np.zeros((len(self.bases), room // grain + 1))  # by the last part's codec and the grains spent
        came_from = np.empty((len(self._parts), *best.shape), np.int8)
        for part in range(len(self._parts)):
            begins = part % len(self._shape.layers) == 0  # keys, or values: no range goes across
            cheapest, previous = best.min(axis=0), best.argmin(axis=0)
            following = np.empty_like(best)
            for codec in range(len(self.bases)):
                stay, change = self._grains(part, codec, leading, grain)
                staying = _later(best[codec], stay, np.inf)
                changing = _later(cheapest, change, np.inf) + (0.0 if codec == leading else price)
                changes = (changing < staying) | begins
                following[codec] = np.where(changes, changing, staying) + self._nats[part, codec]
                came_from[part, codec] = np.where(changes, _later(previous, change, 0), _STAYED)
            best = following
        codec = int(best[:, -1].argmin())
        if not np.isfinite(best[codec, -1]):
            return None
        chosen, at = [codec], best.shape[1] - 1
        for part in range(len(self._parts) - 1, 0, -1):
            stay, change = self._grains(part, codec, leading, grain)
            found = int(came_from[part, codec, at])
            at -= stay if found == _STAYED else change
            codec = codec if found == _STAYED else found
            chosen.append(codec)
        return chosen[::-1]

    def _grains(self, part: int, codec: int, leading: int, grain: int) -> tuple[int, int]:
        """What a part takes if its codec is the one of the part before, and if a range begins; rounded up."""
        size = int(self._sizes[part, codec])
        last = len(str(self._shape.layers[-1]))
        text = 0 if codec == leading else len("/kL-@") + 2 * last + len(str(self.bases[codec]))
        return -(-size // grain), -(-(size + text * len(self._shape.layers)) // grain)

    def _allocation(self, chosen: list[int], leading: int) -> Allocation:
        spec, rows = self._spec(chosen, leading), np.arange(len(chosen))
        headers = sum(header_bytes(len(str(spec)), layer, self._shape, spec.keep) for layer in self._shape.layers)
        planes = int(self._sizes[rows, chosen].sum())
        return Allocation(spec, headers + planes, float(self._nats[rows, chosen].sum()))

    def _spec(self, chosen: list[int], leading: int) -> CodecSpec:
        """Neighbours of one codec in one range, of keys or of values; the leading codec needs none."""
        ranges = []
        for (kind, codec), run in groupby(zip(self._parts, chosen, strict=True), lambda each: (each[0][0], each[1])):
            layers = [layer for (_, layer), _ in run]
            if codec != leading:
                ranges.append(Part(kind, (layers[0], layers[-1]), None, self.bases[codec]))
        return replace(self._wanted, base=self.bases[leading], mix=tuple(ranges))


def _later(row: _Floats, cells: int, fill: float) -> _Floats:
    """The row moved up by so many cells."""
    moved = np.full_like(row, fill)
    if cells < len(row):
        moved[cells:] = row[: len(row) - cells]
    return moved
