"""What a fuser of method ``fuse`` is worth on text that it did not learn from: in one process, behind hard gates."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

from calibration.learn import FrozenReceiver, Layers
from calibration.learn_fuse import FusedText, SharedCache, fused, fused_text, sharer_predictions
from calibration.losses import likelihood
from calibration.readings import Files, TextReader
from codec.quantize.base import Kind
from fuser.projectors.c2c import C2CFuser


@dataclass(frozen=True)
class FuseGain:
    """Mean NLL, nats per token, of what follows a text that the receiver has read, and how many gates are open.

    own: behind its cache as it was. fused: behind the fused one. wrong_fused: another text's cache of the sharer fused
    in, the control: what stays below ``own`` there is the fuser's, not the sharer's. sharer: the sharer by itself.
    """

    texts: int
    own: float
    fused: float
    wrong_fused: float
    sharer: float
    open_keys: int
    open_values: int

    def to_json(self) -> dict[str, float]:
        """As plain values."""
        return asdict(self)


@torch.no_grad()
def fuse_gain(
    fuser: C2CFuser,
    frozen: FrozenReceiver,
    sides: tuple[TextReader, TextReader],
    shared: SharedCache,
    held: Sequence[Files],
) -> FuseGain:
    """Over texts that nothing was learned from; the wrong text is the one before."""
    sums = torch.zeros(4, dtype=torch.float64)
    for at, files in enumerate(held):
        text, other = fused_text(files), fused_text(held[at - 1])
        sums += torch.tensor(_one(fuser, frozen, sides, shared, text, other), dtype=torch.float64)
    halves = [sum(projector.open(half) for projector in fuser.projectors.values()) for half in Kind]
    return FuseGain(len(held), *(sums / len(held)).tolist(), *halves)


def _one(
    fuser: C2CFuser,
    frozen: FrozenReceiver,
    sides: tuple[TextReader, TextReader],
    shared: SharedCache,
    text: FusedText,
    other: FusedText,
) -> list[float]:
    sharer, receiver = sides
    cut = min(text.cut, other.cut)
    text = replace(text, cut=cut)
    ours = receiver.beginning(text.receiver, cut)
    caches: list[Layers] = [
        [(own.keys, own.values) for own in ours],
        fused(fuser, shared(text.sharer, cut), ours),
        fused(fuser, shared(other.sharer, cut), ours),
    ]
    found = [frozen.log_probabilities(frozen.hidden([frozen.behind(layers, text.follows)])) for layers in caches]
    found.append(sharer_predictions(sharer, [text]))
    return [float(likelihood(each, [text])) for each in found]
