"""RoPE undone and done again, held against a real model library's rotation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable, rotate, unrotate
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import InvalidRequestError

YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 512}


def library_rotation(parameters, head_dim=64):
    """Transformers' own module, and the table a model card would carry of it."""
    config = LlamaConfig(
        head_dim=head_dim,
        hidden_size=head_dim,
        num_attention_heads=1,
        max_position_embeddings=8192,
        rope_parameters=parameters,
    )
    module = LlamaRotaryEmbedding(config)
    return module, LayerRope(module.inv_freq, module.attention_scaling)


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("parameters", [{"rope_type": "default", "rope_theta": 1e5}, YARN])
def test_rotating_does_what_the_model_library_does(parameters):
    """Within float32 rounding, at positions up to 8000, attention scaling included."""
    module, rope = library_rotation(parameters)
    keys, positions = gaussian(3, 40, 64), torch.arange(40) * 200
    cos, sin = module(keys, positions[None])
    expected = apply_rotary_pos_emb(keys[None], keys[None], cos, sin)[1][0]
    torch.testing.assert_close(rotate(keys, positions, rope), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("parameters", [{"rope_type": "default", "rope_theta": 1e5}, YARN])
def test_undoing_the_model_librarys_rotation_gives_the_keys_before_it(parameters):
    """Exact in float32 to a few roundings."""
    module, rope = library_rotation(parameters)
    keys, positions = gaussian(3, 40, 64), torch.arange(40) * 200 + 1
    cos, sin = module(keys, positions[None])
    rotated = apply_rotary_pos_emb(keys[None], keys[None], cos, sin)[1][0]
    torch.testing.assert_close(unrotate(rotated, positions, rope), keys, atol=2e-6, rtol=0)


@given(
    pairs=st.integers(0, 4),
    rest=st.integers(0, 3),
    scaling=st.floats(0.5, 2),
    start=st.integers(0, 100_000),
    seed=st.integers(0, 99),
)
def test_undoing_is_the_inverse_for_any_layer(pairs, rest, scaling, start, seed):
    """Partial rotation and no rotation included."""
    keys = gaussian(2, 3, 2 * pairs + rest + 1, seed=seed)
    rope = LayerRope(torch.rand(pairs), scaling)
    positions = torch.arange(start, start + 3)
    torch.testing.assert_close(unrotate(rotate(keys, positions, rope), positions, rope), keys, atol=1e-5, rtol=1e-5)


def test_heads_may_stand_at_positions_of_their_own():
    """As after pruning with head scope."""
    keys, rope = gaussian(2, 3, 8), LayerRope(torch.rand(4))
    positions = torch.tensor([[0, 5, 9], [1, 2, 3]])
    both = rotate(keys, positions, rope)
    assert torch.equal(both[1:], rotate(keys[1:], positions[1], rope))


def test_more_frequencies_than_channels_are_refused():
    """The table belongs to another model."""
    with pytest.raises(InvalidRequestError, match="5 RoPE frequencies for head_dim 8"):
        rotate(gaussian(1, 1, 8), torch.arange(1), LayerRope(torch.ones(5)))


ROPE = RopeTable((LayerRope(torch.tensor([1.0, 0.1, 0.01, 0.001])), LayerRope(torch.tensor([0.5, 0.05]), 1.25)))


def codec(spec, rope=ROPE):
    return Codec(CodecSpec.parse(spec), rope)


def rotated_layer(layer, positions):
    before = gaussian(2, len(positions), 8)
    after = rotate(before, positions, ROPE.layers[layer])
    return before, LayerKV(layer, after, gaussian(2, len(positions), 8, seed=1), RopePhase.POST, len(positions))


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("scope", [None, "layer", "head"])
def test_keys_travel_before_rope_when_the_spec_says_so(layer, scope):
    """Each layer with its own angles, each kept token turned back from where it stood."""
    positions = torch.arange(100, 120)
    before, kv = rotated_layer(layer, positions)
    keep = f"+keep=0.5,by=random,scope={scope}" if scope else ""
    back = decode_layer(codec(f"fp32{keep}+rope=pre").encode_layer(kv, positions), Limits())
    assert back.rope is RopePhase.PRE
    for head in range(2):
        kept = torch.arange(20) if back.slots is None else back.slots.expand(2, -1)[head]
        torch.testing.assert_close(back.keys[head], before[head, kept], atol=1e-5, rtol=0)
        assert torch.equal(back.values[head], kv.values[head, kept])


def test_keys_that_are_before_rope_already_are_not_turned_again():
    """No parameters needed then."""
    before, kv = rotated_layer(0, torch.arange(4))
    ready = LayerKV(0, before, kv.values, RopePhase.PRE, 4)
    back = decode_layer(codec("fp32+rope=pre", None).encode_layer(ready), Limits())
    assert torch.equal(back.keys, before)


@pytest.mark.parametrize("missing", ["table", "layer", "positions", "some positions"])
def test_undoing_rope_without_all_it_takes_is_refused(missing):
    """Never a guess at positions or angles."""
    _, kv = rotated_layer(1, torch.arange(4))
    tables = {"table": None, "layer": RopeTable(ROPE.layers[:1])}
    positions = {"positions": None, "some positions": torch.arange(3)}
    with pytest.raises(InvalidRequestError, match="layer 1: "):
        codec("fp32+rope=pre", tables.get(missing, ROPE)).encode_layer(kv, positions.get(missing, torch.arange(4)))


def test_keys_before_rope_do_not_pass_for_keys_after_it():
    """A spec without rope=pre promises keys after RoPE."""
    before, kv = rotated_layer(0, torch.arange(4))
    with pytest.raises(InvalidRequestError, match="keys are before RoPE"):
        codec("fp32").encode_layer(LayerKV(0, before, kv.values, RopePhase.PRE, 4))
