"""What a step of training shows a fuser of method ``fuse``: beginnings that both models have read, and what follows.

As in the service: the opening and all tokens of the beginning are fused, and the receiver reads on behind them. Every
step cuts its texts elsewhere. Readings are loaded when they are shown: both models' caches of a few hundred texts are
more than a machine's memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from calibration.learn import FOLLOWING_TOKENS, Layers, check_length, drawn, drawn_cut
from calibration.readings import Files, Reading, TextReader, load
from calibration.sent import as_sent
from codec.codec import Codec
from codec.layer import LayerKV
from fuser.projectors.c2c import C2CFuser

#: A sharer's layers of the opening and the first so many tokens of a text, keys after RoPE, float32, as they arrive.
SharedCache = Callable[[Reading, int], Sequence[LayerKV]]


@dataclass(frozen=True, eq=False)
class FusedText:
    """One text as both models read it; its first ``cut`` tokens are fused, the receiver reads the next 64 itself."""

    sharer: Reading
    receiver: Reading
    cut: int

    @property
    def follows(self) -> Tensor:
        """What the receiver reads, ``(64,)``."""
        return self.receiver.ids[self.cut : self.cut + FOLLOWING_TOKENS]

    @property
    def nexts(self) -> Tensor:
        """What comes after each of those, ``(64,)``."""
        return self.receiver.ids[self.cut + 1 : self.cut + 1 + FOLLOWING_TOKENS]


def silenced(shared: SharedCache) -> SharedCache:
    """The same layers, every number zero: what a fuser hears of a sharer that is not there."""

    def silent(reading: Reading, tokens: int) -> list[LayerKV]:
        layers = shared(reading, tokens)
        return [replace(kv, keys=torch.zeros_like(kv.keys), values=torch.zeros_like(kv.values)) for kv in layers]

    return silent


def fused_text(files: Files) -> FusedText:
    """A text cut as late as can be.

    Raises:
        InvalidRequestError: It is too short.
    """
    sharer, receiver = (load(path) for path in files)
    check_length(receiver)
    return FusedText(sharer, receiver, len(receiver.ids) - FOLLOWING_TOKENS - 1)


def fused_texts(files: Sequence[Files], batch: int, seed: int, step: int) -> list[FusedText]:
    """A step's texts, the same ones for the same step; each is shown once before any comes again."""
    found = []
    for index, draw in drawn(len(files), batch, seed, step):
        text = fused_text(files[index])
        found.append(replace(text, cut=drawn_cut(len(text.receiver.ids), draw)))
    return found


def through(codec: Codec, sharer: TextReader) -> SharedCache:
    """The sharer's cache as a codec delivers it."""

    def shared(reading: Reading, tokens: int) -> list[LayerKV]:
        return [as_sent(codec, kv, 0, sharer.ropes) for kv in sharer.beginning(reading, tokens)]

    return shared


def fused(fuser: C2CFuser, theirs: Sequence[LayerKV], ours: Sequence[LayerKV]) -> Layers:
    """The receiver's layers with the sharer's fused in, as at inference: behind hard gates."""
    return [
        fuser.fuse(own.layer, {layer: theirs[layer] for layer in fuser.source_layers(own.layer)}, own.keys, own.values)
        for own in ours
    ]


@torch.no_grad()
def sharer_predictions(sharer: TextReader, texts: Sequence[FusedText]) -> Tensor:
    """What the sharer predicts of the same tokens, ``(64 * texts, vocabulary)`` log-probabilities."""
    rows = [text.sharer.hidden[text.cut + 1 : text.cut + 1 + FOLLOWING_TOKENS] for text in texts]
    return sharer.engine.logits(torch.cat(rows).float()).log_softmax(-1)
