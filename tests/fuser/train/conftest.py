"""Random layers of a sharer and a receiver."""

import pytest
import torch

from codec.layer import LayerKV
from codec.spec import RopePhase

TOKENS = 9


@pytest.fixture
def layers_of():
    """All layers of a card, of random numbers; ``slots``: those that were kept."""

    def made(one, seed, slots=None):
        generator = torch.Generator().manual_seed(seed)
        shape = (one.kv_heads, TOKENS if slots is None else len(slots), one.head_dim)
        numbers = [torch.randn(2, *shape, generator=generator) for _ in one.layers]
        return [LayerKV(at, keys, values, RopePhase.POST, TOKENS, slots) for at, (keys, values) in enumerate(numbers)]

    return made
