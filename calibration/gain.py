"""How much of what a text tells a receiver reaches it through a fuser: in one process; experiments measure the wire."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from calibration.learn import FOLLOWING_TOKENS, FrozenReceiver, Text, at_end_of_both, behind_fuser
from kvwire.engine.engine import Part


@dataclass(frozen=True)
class Gain:
    """Mean NLL, nats per token, of what follows a text: behind no text, this one or another, projected or read."""

    texts: int
    none: float
    projected: float
    own: float
    wrong_projected: float
    wrong_own: float

    @property
    def retained(self) -> float:
        """Context gain retained: 0 as without the text, 1 as if the receiver had read it."""
        return (self.none - self.projected) / (self.none - self.own)

    @property
    def net(self) -> float:
        """Net context gain: the part that is of this text and not of any."""
        return (self.wrong_projected - self.projected) / (self.wrong_own - self.own)

    def to_json(self) -> dict[str, float]:
        """As plain values."""
        return asdict(self) | {"gain_retained": self.retained, "net_gain": self.net}


@torch.no_grad()
def gain(module: torch.nn.Module, frozen: FrozenReceiver, texts: Sequence[Text]) -> Gain:
    """Over texts that nothing was learned from; the wrong text is the one before."""
    sums = torch.zeros(5, dtype=torch.float64)
    for at, text in enumerate(texts):
        sums += torch.tensor(_one(module, frozen, text, texts[at - 1]), dtype=torch.float64)
    return Gain(len(texts), *(sums / len(texts)).tolist())


def _one(module: torch.nn.Module, frozen: FrozenReceiver, text: Text, other: Text) -> list[float]:
    cut = at_end_of_both(text.pair, len(text.pair.receiver.ids) - FOLLOWING_TOKENS)
    wrong = min(cut, len(other.pair.receiver.ids))
    follows = text.pair.receiver.ids[cut : cut + FOLLOWING_TOKENS]
    none, own, wrong_own = (
        frozen.own_part(pair, slots, follows) for pair, slots in ((text.pair, 0), (text.pair, cut), (other.pair, wrong))
    )
    projected, wrong_projected = behind_fuser(module, frozen, [(text, cut, follows), (other, wrong, follows)])
    return [_nll(frozen, part, follows) for part in (none, projected, own, wrong_projected, wrong_own)]


def _nll(frozen: FrozenReceiver, part: Part, follows: Tensor) -> float:
    found = frozen.log_probabilities(frozen.hidden([part]))
    return -float(found[:-1].gather(1, follows[1:, None]).mean())
