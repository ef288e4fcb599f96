"""Latents: a fuser cut in two, and what travels between its halves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable, rotate
from codec.spec import CodecSpec, RopePhase
from fuser.binding import Pairing, Side
from fuser.latents import BLOCK, FirstHalf, blocks, joined
from fuser.projectors.ridge import Band, Openings, RidgeFuser

HEADS, DIM, TOKENS = 2, 6, 5
ROPES = RopeTable((LayerRope(torch.tensor([1.0, 0.3, 0.1])),) * 3)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fuser(*bands):
    sides = [Side(name, HEADS, DIM, 3, 3) for name in ("sharer", "receiver")]
    pairing = Pairing(*sides)
    tensors = {name: random(*shape, seed=3) for name, shape in RidgeFuser.shapes(bands, pairing).items()}
    tensors |= {name: tensor.abs() + 1 for name, tensor in tensors.items() if name.endswith("spread")}
    return RidgeFuser(bands, tensors, pairing, Openings((), ()))


def layer(index):
    shape = HEADS, TOKENS, DIM
    return LayerKV(index, random(*shape, seed=index), random(*shape, seed=9 + index), RopePhase.PRE, TOKENS)


@given(rank=st.integers(1, 3 * BLOCK), tokens=st.integers(1, 4))
def test_blocks_joined_are_the_latents(rank, tokens):
    """Whatever the rank; the last block is filled up with zeros, and more important numbers come first."""
    latents = random(tokens, rank)
    layers = {kv.layer: kv for kv in blocks(latents)}
    assert len(layers) == -(-rank // BLOCK)
    assert torch.equal(joined(layers, rank).numbers, latents)
    assert joined(layers, rank).slots is None
    filled = torch.cat([torch.cat([kv.keys[0], kv.values[0]], 1) for kv in layers.values()], 1)
    assert torch.equal(filled[:, :rank], latents)
    assert not filled[:, rank:].any()


def test_what_was_pruned_is_zero_and_a_token_without_any_has_no_row():
    """As with caches: a number that is missing stands at its mean."""
    first, second = blocks(random(4, BLOCK + 2))
    codecs = [Codec(CodecSpec.parse(f"fp32+keep=0.5,by={by}+of=latents")) for by in ("front", "random")]
    come = [
        codec.decode_layer(codec.encode_layer(kv), Limits()) for codec, kv in zip(codecs, (first, second), strict=True)
    ]
    found = joined(dict(enumerate(come)), BLOCK + 2)
    kept = sorted({0, 1} | set(come[1].slots.tolist()))
    rows = list(range(4)) if found.slots is None else found.slots.tolist()
    assert rows == kept
    for row, token in zip(found.numbers, rows, strict=True):
        assert bool(row[:BLOCK].any()) == (token < 2)
        assert bool(row[BLOCK:].any()) == (token in come[1].slots.tolist())


def test_a_band_is_sent_as_soon_as_its_layers_are_there():
    """Not before, in order, and layers nobody needs any more are let go."""
    divided = fuser(Band((0, 1), (0,), 3), Band((1,), (1,), BLOCK + 1), Band((1, 2), (2,), 2))
    first = FirstHalf(divided, ROPES, 0)
    assert [[kv.layer for kv in first(layer(index))] for index in range(3)] == [[], [0, 1, 2], [3]]


def test_latents_are_of_keys_before_rope():
    """Keys come after it, at positions behind what the sharer read first."""
    divided = fuser(Band((0,), (0, 1, 2), 4))
    before = layer(0)
    turned = rotate(before.keys, torch.arange(TOKENS) + 7, ROPES.layers[0])
    after = LayerKV(0, turned, before.values, RopePhase.POST, TOKENS)
    (found,) = FirstHalf(divided, ROPES, 7)(after)
    (wanted,) = blocks(divided.condense(0, {0: before}).numbers)
    assert torch.allclose(found.keys, wanted.keys, atol=1e-5)


@pytest.mark.parametrize("spec", ["fp16", "int8", "nf4", "hadamard:bits=3", "fp16+rope=pre"])
def test_every_codec_of_caches_is_one_of_latents(spec):
    """Nearer than their own size, by a frame that says what it holds."""
    codec = Codec(CodecSpec.parse(f"{spec}+of=latents"), RopeTable((LayerRope(torch.empty(0)),)))
    (kv,) = blocks(random(9, BLOCK))
    come = codec.decode_layer(codec.encode_layer(kv, torch.arange(9)), Limits())
    assert (come.keys - kv.keys).norm() < 0.3 * kv.keys.norm()
