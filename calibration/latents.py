"""A fuser's latents of a text's beginning: of the sharer's cache as it was, or as a codec would deliver them.

Training behind a codec needs no gradient through it: the sharer is frozen, so what it sends is data, and rounding that
is a change of the data. (Seen from the fuser's weights, that is the straight-through estimate, and exact.)
"""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from calibration.readings import Pair, TextReader
from calibration.sent import as_sent, there_and_back
from codec.codec import Codec
from fuser.features import Rows
from fuser.latents import blocks, joined
from fuser.projectors.ridge import RidgeFuser


class Latents(Protocol):
    """Latents of the first tokens of one text."""

    def __call__(self, tokens: int) -> Rows:
        """``(rows, rank)`` float32, for the first so many source tokens; pruned ones have no row."""
        ...


class ExactLatents:
    """Computed once: a beginning's latents are the whole text's."""

    def __init__(self, fuser: RidgeFuser, sharer: TextReader, pair: Pair) -> None:
        layers = dict(enumerate(sharer.decoded(pair.sharer.frames)))
        self._numbers = fuser.condense(0, layers).numbers.half()

    def __call__(self, tokens: int) -> Rows:
        """The first rows."""
        return Rows(self._numbers[:tokens].float(), None)


class LatentsOfSentCache:
    """Of a cache that came through a codec; made anew each time: what that does depends on which tokens there are."""

    def __init__(self, fuser: RidgeFuser, sharer: TextReader, pair: Pair, codec: Codec) -> None:
        self._fuser = fuser
        self._sharer = sharer
        self._pair = pair
        self._codec = codec

    def __call__(self, tokens: int) -> Rows:
        """Through frames and back."""
        first = len(self._sharer.opening)
        sources = {}
        for kv in self._sharer.decoded(self._pair.sharer.frames):
            begun = replace(kv, keys=kv.keys[:, :tokens], values=kv.values[:, :tokens], tokens=tokens)
            sources[kv.layer] = as_sent(self._codec, begun, first, self._sharer.ropes)
        return self._fuser.condense(0, sources)


class SentLatents:
    """Latents that came through a codec themselves; made anew each time too."""

    def __init__(self, exact: ExactLatents, codec: Codec) -> None:
        self._exact = exact
        self._codec = codec

    def __call__(self, tokens: int) -> Rows:
        """Through frames and back; latents have no RoPE, so that they are in whatever phase the codec wants."""
        numbers, phase = self._exact(tokens).numbers, self._codec.spec.rope
        come = {kv.layer: there_and_back(self._codec, replace(kv, rope=phase)) for kv in blocks(numbers)}
        return joined(come, numbers.shape[1])


def slots_of(rows: Rows, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Slots whose source token has a row, and which row that is; ``sources``: ``(slots,)`` int64."""
    if rows.slots is None:
        return torch.arange(len(sources)), sources
    place = torch.full((int(sources.max()) + 1,), -1)
    place[rows.slots] = torch.arange(len(rows.slots))
    slots = (place[sources] >= 0).nonzero().reshape(-1)
    return slots, place[sources[slots]]
