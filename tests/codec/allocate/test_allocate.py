"""A budget is kept to the byte, and spent where it helps most."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.allocate.allocate import allocate
from codec.allocate.policy import Budget
from codec.allocate.profile import Profile
from codec.allocate.sizes import CacheShape
from codec.codec import Codec
from codec.layer import LayerKV
from codec.spec import MAX_CHARACTERS, CodecSpec, RopePhase
from kvwire.errors import BindingError, SpecError

CODECS = ("hadamard:bits=2,center=none", "hadamard:bits=3,center=none", "int8")
PLAIN = CodecSpec.parse("fp16")


def profile_of(weights_of_layers):
    """Each layer's keys and values diverge by its weight, four times less per bit."""
    halves = [tuple(tuple(weight * 4.0**-bits for bits in (2, 3, 8)) for weight in pair) for pair in weights_of_layers]
    return Profile("a model", bytes(32), 512, 32, 4, CODECS, tuple(halves))


def sent_bytes(spec, shape):
    codec, size = Codec(spec), (shape.kv_heads, shape.tokens, shape.head_dim)
    generator = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(size, generator=generator) for _ in range(2))
    return sum(
        len(codec.encode_layer(LayerKV(layer, keys, values, RopePhase.POST, shape.tokens))) for layer in shape.layers
    )


@given(
    weights=st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=7),
    tokens=st.integers(1, 80),
    limit=st.integers(500, 60_000),
    option=st.sampled_from(["", "+keep=0.5,by=random", "+keep=0.4,by=random,scope=head", "+entropy=zstd"]),
)
def test_the_frames_take_no_more_than_was_allowed(weights, tokens, limit, option):
    """Whole frames with their headers, whatever the profile; or else nothing is as small."""
    shape = CacheShape(tuple(range(len(weights))), 2, 16, tokens)
    found = allocate(profile_of(weights), shape, CodecSpec.parse(f"fp16{option}"), limit)
    assert sent_bytes(found.spec, shape) <= found.bytes
    if found.bytes > limit:
        assert found.spec.base.name == "hadamard"
        assert not found.spec.mix


def test_bytes_are_foretold_exactly_where_nothing_is_pruned_or_squeezed():
    """Of a spec with many ranges."""
    shape = CacheShape(tuple(range(12)), 2, 64, 300)
    found = allocate(profile_of([(30 ** (layer % 3), 9 ** (layer % 2)) for layer in range(12)]), shape, PLAIN, 500_000)
    assert len(found.spec.mix) > 3
    assert sent_bytes(found.spec, shape) == found.bytes


def test_the_budget_is_spent_where_a_finer_choice_exists():
    """Within 3 % of it, with 300 tokens."""
    shape = CacheShape(tuple(range(12)), 2, 64, 300)
    weights = [(1 + layer, 0.1 * (12 - layer)) for layer in range(12)]
    for limit in (300_000, 350_000, 500_000):
        assert 0.97 * limit < allocate(profile_of(weights), shape, PLAIN, limit).bytes <= limit


def test_bits_go_to_the_layers_that_need_them():
    """One layer's keys decide everything."""
    shape = CacheShape((0, 1, 2, 3), 2, 64, 200)
    found = allocate(profile_of([(0, 0), (0, 0), (5, 0), (0, 0)]), shape, PLAIN, 78_000)
    assert str(found.spec) == "hadamard:bits=2,center=none+mix=kL2-2@int8"


@pytest.mark.parametrize("limit", [60_000, 70_000, 90_000, 120_000])
def test_no_choice_that_fits_diverges_less(limit):
    """Against every one of the 81 ways to code two layers, as real frames."""
    shape = CacheShape((0, 1), 2, 64, 300)
    profile = profile_of([(3.0, 0.5), (1.0, 0.2)])
    found = allocate(profile, shape, PLAIN, limit)
    ways = []
    for choice in torch.cartesian_prod(*[torch.arange(3)] * 4).tolist():
        ranges = "/".join(
            f"{half}L{layer}-{layer}@{CODECS[c]}" for c, (half, layer) in zip(choice, _PARTS, strict=True)
        )
        nats = sum(
            profile.divergences[layer]["kv".index(half)][c] for c, (half, layer) in zip(choice, _PARTS, strict=True)
        )
        ways.append((nats, sent_bytes(CodecSpec.parse(f"fp16+mix={ranges}"), shape)))
    # The longest spec of four ranges costs some 300 bytes more than the shortest, and rounding 0.1 %.
    least = min(nats for nats, size in ways if size <= 0.99 * limit)
    assert found.divergence <= least


_PARTS = [("k", 0), ("k", 1), ("v", 0), ("v", 1)]


def test_a_spec_is_never_too_long_to_be_written():
    """60 layers that would each like another codec."""
    shape = CacheShape(tuple(range(60)), 2, 64, 100)
    weights = [(1.1 ** (7 * layer % 50), 1.1 ** (3 * layer % 70)) for layer in range(60)]
    found = allocate(profile_of(weights), shape, PLAIN, 800_000)
    assert 400 < len(str(found.spec)) <= MAX_CHARACTERS
    assert CodecSpec.parse(str(found.spec)) == found.spec


def test_few_tokens_are_not_burdened_with_a_long_spec():
    """The text of every range stands in every frame."""
    weights = [(1.1 ** (7 * layer % 50), 1.1 ** (3 * layer % 70)) for layer in range(30)]
    short, long = (
        allocate(profile_of(weights), CacheShape(tuple(range(30)), 2, 64, tokens), PLAIN, 4000 * tokens)
        for tokens in (12, 600)
    )
    assert len(str(short.spec)) < len(str(long.spec))


def test_only_sent_layers_count():
    """The needs of others are not weighed."""
    profile = profile_of([(9, 9), (1, 1), (9, 9)])
    found = allocate(profile, CacheShape((1,), 2, 64, 100), PLAIN, 30_000)
    assert str(found.spec) == "int8"


def test_a_budget_too_small_says_what_would_do():
    """With the bytes and a remedy."""
    with pytest.raises(SpecError, match=r"1000 bytes is too small: 100 tokens take \d+ at least.*keep="):
        Budget.parse("budget=1000").resolve(PLAIN, profile_of([(1, 1)]), CacheShape((0,), 2, 64, 100))


@pytest.mark.parametrize("text", ["", "budget", "budget=", "budget=0", "budget=-1", "budget=1e4", "auto", "budget=64k"])
def test_a_policy_that_is_not_known_is_refused(text):
    """By its text."""
    with pytest.raises(SpecError, match="budget=BYTES"):
        Budget.parse(text)


def test_a_budget_refuses_a_mix_of_ones_own_and_a_profile_of_fewer_layers():
    """Nothing is dropped silently."""
    shape = CacheShape((0, 1), 2, 64, 100)
    with pytest.raises(SpecError, match="leave it out"):
        Budget(10**6).resolve(CodecSpec.parse("int8+mix=k@int4"), profile_of([(1, 1)] * 2), shape)
    with pytest.raises(BindingError, match="has 1 layers, layer 1"):
        Budget(10**6).resolve(PLAIN, profile_of([(1, 1)]), shape)


def test_a_codec_whose_size_depends_on_the_data_is_refused():
    """Nobody could promise a budget then."""
    halves = ((1.0,), (1.0,))
    profile = Profile("a model", bytes(32), 512, 32, 4, ("rd:step=128",), (halves,))
    with pytest.raises(SpecError, match="depend on what is coded"):
        allocate(profile, CacheShape((0,), 2, 64, 100), PLAIN, 10**6)
