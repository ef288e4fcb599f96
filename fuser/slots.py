"""From a sharer's tokens to a receiver's slots: each slot takes what its source token became."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from codec.layer import LayerKV


def at_slots(kv: LayerKV, sources: Sequence[int] | None) -> LayerKV:
    """A projected layer, one token per source token, at the slots that take it; None: one slot each in order.

    A slot whose source token was pruned is absent. All heads of ``kv`` hold the same tokens.
    """
    if sources is None:
        return kv
    of_slot = torch.tensor(sources)
    if kv.slots is None:
        return replace(kv, keys=kv.keys[:, of_slot], values=kv.values[:, of_slot], tokens=len(sources))
    place = torch.full((kv.tokens,), -1).scatter_(0, kv.slots, torch.arange(kv.slots.shape[0]))[of_slot]
    present = (place >= 0).nonzero().reshape(-1)
    taken = place[present]
    return replace(kv, keys=kv.keys[:, taken], values=kv.values[:, taken], tokens=len(sources), slots=present)
