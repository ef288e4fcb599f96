"""A sharer and a receiver of one tokenizer, and random layers of theirs."""

import pytest
import torch

from codec.layer import LayerKV
from codec.spec import RopePhase
from kvwire.requests import LayerCard, ModelBinding, ModelCard, Rope

TOKENS = 9


def card(name, layers, kv_heads, head_dim):
    binding = ModelBinding(name, "1", name.encode().ljust(32, b"w"), b"t" * 32)
    ropes = (Rope("default", (1.0,), 1.0),)
    return ModelCard(
        binding, "llama", "", "float32", "cpu", kv_heads, head_dim, 9, 99, ropes, (LayerCard(0, 0),) * layers
    )


@pytest.fixture
def cards():
    """3 layers of 2 heads of 8 numbers, and 4 layers of 3 heads of 6."""
    return card("sharer", 3, 2, 8), card("receiver", 4, 3, 6)


@pytest.fixture
def layers_of():
    """All layers of a card, of random numbers; ``slots``: those that were kept."""

    def made(one, seed, slots=None):
        generator = torch.Generator().manual_seed(seed)
        shape = (one.kv_heads, TOKENS if slots is None else len(slots), one.head_dim)
        numbers = [torch.randn(2, *shape, generator=generator) for _ in one.layers]
        return [LayerKV(at, keys, values, RopePhase.POST, TOKENS, slots) for at, (keys, values) in enumerate(numbers)]

    return made
