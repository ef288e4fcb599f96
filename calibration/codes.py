"""A fuser's numbers of a text's beginning: from the sharer's cache as it was, or as a codec would deliver it.

Training behind a codec needs no gradient through it: the sharer is frozen, so its cache is data, and rounding it is a
change of the data. (Seen from the fuser's weights, that is the straight-through estimate, and exact.)
"""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from calibration.readings import Pair, TextReader
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.spec import RopePhase
from fuser.features import Rows
from fuser.layers import in_phase
from fuser.projectors.ridge import RidgeFuser


class Codes(Protocol):
    """Numbers of the first tokens of one text."""

    def __call__(self, tokens: int) -> Rows:
        """``(rows, rank)`` float32, for the first so many source tokens; pruned ones have no row."""
        ...


class ExactCodes:
    """Computed once: a beginning's numbers are the whole text's."""

    def __init__(self, fuser: RidgeFuser, sharer: TextReader, pair: Pair) -> None:
        self._numbers = _codes(fuser, dict(enumerate(sharer.decoded(pair.sharer.frames)))).numbers.half()

    def __call__(self, tokens: int) -> Rows:
        """The first rows."""
        return Rows(self._numbers[:tokens].float(), None)


class CodedCodes:
    """Computed anew each time: what a codec makes of a token depends on which tokens there are."""

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
            sent = in_phase(begun, self._codec.spec.rope, first, self._sharer.ropes)
            frame = self._codec.encode_layer(sent, torch.arange(tokens) + first)
            come = self._codec.decode_layer(frame, Limits())
            sources[kv.layer] = in_phase(come, RopePhase.PRE, first, self._sharer.ropes)
        return _codes(self._fuser, sources)


def slots_of(rows: Rows, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Slots whose source token has a row, and which row that is; ``sources``: ``(slots,)`` int64."""
    if rows.slots is None:
        return torch.arange(len(sources)), sources
    place = torch.full((int(sources.max()) + 1,), -1)
    place[rows.slots] = torch.arange(len(rows.slots))
    slots = (place[sources] >= 0).nonzero().reshape(-1)
    return slots, place[sources[slots]]


def _codes(fuser: RidgeFuser, sources: dict[int, LayerKV]) -> Rows:
    rows = fuser.features(0, sources)
    return Rows(rows.numbers @ fuser.weights()["0.down"].T, rows.slots)
