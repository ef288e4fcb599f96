"""Cards of a pair that C2C checkpoints of these tests are made for, and such a checkpoint."""

from dataclasses import replace

import pytest

from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope

#: Layers, kv heads, head_dim.
SHARER, RECEIVER = (3, 2, 8), (4, 3, 6)
OPEN, CLOSED = {"key": 0.5, "value": 1.0}, {"key": 0.0, "value": -1.0}
GATES = [CLOSED, OPEN, {"key": -0.1, "value": 0.1}, OPEN]


def card(name, shape):
    layers, kv_heads, head_dim = shape
    binding = ModelBinding(name, "1", name.encode().ljust(32, b"w"), b"t" * 32)
    ropes = (Rope("default", (1.0,), 1.0),)
    return ModelCard(
        binding, "llama", "", "float32", "cpu", kv_heads, head_dim, 9, 99, ropes, (LayerCard(0, 0),) * layers
    )


@pytest.fixture
def pair():
    """Cards of sharer and receiver."""
    return card("sharer", SHARER), card("receiver", RECEIVER)


@pytest.fixture
def other():
    """A card with another tokenizer."""

    def made(one):
        return replace(one, binding=replace(one.binding, tokenizer_fingerprint=b"o" * 32))

    return made


@pytest.fixture
def checkpoint(tmp_path, official_c2c):
    """A folder in the official layout: sharer layers 0, 0, 1, 2; some gates closed."""
    return official_c2c.write_checkpoint(tmp_path / "checkpoint", SHARER, RECEIVER, GATES)
