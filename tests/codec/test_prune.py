"""Token pruning: who stays, in which scope, and what it costs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec import registry
from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.layer import LayerKV, bits_per_value
from codec.prune.keep import Keep
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import InvalidRequestError

SELECTORS = sorted(registry.SELECTORS)


def kv_of(heads=3, tokens=20, head_dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(heads, tokens, head_dim, generator=generator) for _ in range(2))
    attention = torch.rand(heads, tokens, generator=generator)
    return LayerKV(1, keys, values, RopePhase.POST, tokens, attention=attention)


def through(spec, kv):
    return decode_layer(Codec(CodecSpec.parse(spec)).encode_layer(kv), Limits())


#: Selector -> what it keeps of three tokens, when keys are 3, 1, 2 long and values 1, 3, 2.
KEEPS_TWO = {"recency": [1, 2], "front": [0, 1], "key_norm": [1, 2], "value_norm": [1, 2]}
KEEPS_ONE = {"recency": [2], "front": [0], "key_norm": [1], "value_norm": [1]}


@pytest.mark.parametrize("by", KEEPS_TWO)
def test_a_selector_keeps_what_its_name_says(by):
    """Last, first, shortest keys, longest values; ascending."""
    keys, values = torch.tensor([[[3.0], [1.0], [-2.0]]]), torch.tensor([[[1.0], [-3.0], [2.0]]])
    selector = registry.selector(by)
    assert selector.select(keys, values, Keep(0.67)).tolist() == KEEPS_TWO[by]
    assert selector.select(keys, values, Keep(0.33)).tolist() == KEEPS_ONE[by]


def test_every_selector_but_chance_has_a_row():
    """What random keeps is not foreseen, only repeated."""
    assert {*KEEPS_TWO, "random", "attention", "question"} == set(SELECTORS)


@pytest.mark.parametrize("by", ["attention", "question"])
def test_attention_keeps_what_drew_most_with_its_neighbours(by):
    """Pooled over seven tokens: the one at 10 and three on either side."""
    kv = kv_of()
    attention = torch.zeros(3, 20)
    attention[:, 10] = 1
    seen = LayerKV(1, kv.keys, kv.values, kv.rope, 20, attention=attention)
    assert through(f"fp32+keep=0.35,by={by}", seen).slots.tolist() == list(range(7, 14))


@pytest.mark.parametrize(
    ("attention", "says"),
    [
        (None, "^this selector needs the attention of a prefill, and none was observed$"),
        (torch.zeros(2, 20), r"^attention: mass of \(2, 20\) heads and tokens, keys of \(3, 20\)$"),
        (torch.zeros(3, 19), r"^attention: mass of \(3, 19\) heads and tokens, keys of \(3, 20\)$"),
    ],
)
def test_attention_that_was_not_observed_is_not_made_up(attention, says):
    """Refused, with what is missing."""
    kv = kv_of()
    with pytest.raises(InvalidRequestError, match=says):
        through("fp32+keep=0.5,by=attention", LayerKV(1, kv.keys, kv.values, kv.rope, 20, attention=attention))


def test_a_codec_says_whether_it_needs_attention():
    """So that a prefill observes it only then."""
    assert Codec(CodecSpec.parse("fp16+keep=0.5,by=attention")).needs_attention
    assert not Codec(CodecSpec.parse("fp16+keep=0.5")).needs_attention
    assert not Codec(CodecSpec.parse("fp16")).needs_attention
    assert Codec(CodecSpec.parse("fp16+keep=0.5,by=question")).needs_attention


def test_a_codec_says_whether_it_needs_the_question():
    """So that the receiver tells it only then."""
    assert Codec(CodecSpec.parse("fp16+keep=0.5,by=question")).needs_question
    assert not Codec(CodecSpec.parse("fp16+keep=0.5,by=attention")).needs_question
    assert not Codec(CodecSpec.parse("fp16")).needs_question


def test_random_keeps_the_same_tokens_every_time_and_in_every_layer():
    """Seeded, and blind to the numbers."""
    one, other = (registry.selector("random").select(kv.keys, kv.values, Keep(0.5)) for kv in (kv_of(), kv_of(seed=1)))
    assert torch.equal(one, other)
    assert one.tolist() != list(range(10, 20))


@pytest.mark.parametrize("by", SELECTORS)
@pytest.mark.parametrize("scope", ["layer", "head"])
def test_kept_tokens_come_back_as_they_were_with_their_slots(by, scope):
    """Exactly the kept vectors, in order, and none other."""
    kv = kv_of()
    back = through(f"fp32+keep=0.35,by={by},scope={scope}", kv)
    assert back.tokens == 20
    assert tuple(back.slots.shape) == ((7,) if scope == "layer" else (3, 7))
    for head, slots in enumerate(back.slots.expand(3, 7)):
        assert torch.equal(back.keys[head], kv.keys[head, slots])
        assert torch.equal(back.values[head], kv.values[head, slots])


@pytest.mark.parametrize("by", SELECTORS)
def test_scores_have_one_float_per_head_and_token(by):
    """Also for inputs in 16 bits."""
    kv = kv_of()
    score = registry.selector(by).score(kv.keys.bfloat16(), kv.values.bfloat16(), kv.attention)
    assert (tuple(score.shape), score.dtype) == ((3, 20), torch.float32)


@pytest.mark.parametrize("by", SELECTORS)
def test_scores_are_where_the_keys_are(by):
    """As on a GPU: a tensor without numbers has a device too."""
    kv = kv_of()
    score = registry.selector(by).score(*(each.to("meta") for each in (kv.keys, kv.values, kv.attention)))
    assert score.device.type == "meta"


def test_heads_choose_alone_with_head_scope_and_together_with_layer_scope():
    """One head's favourite loses to the heads' mean."""
    values = torch.tensor([[[9.0], [2.0], [1.0]], [[0.0], [8.0], [1.0]]])
    kv = LayerKV(0, torch.ones(2, 3, 1), values, RopePhase.POST, 3)
    assert through("fp32+keep=0.33,by=value_norm,scope=head", kv).slots.tolist() == [[0], [1]]
    assert through("fp32+keep=0.33,by=value_norm", kv).slots.tolist() == [1]


def test_sinks_stay_whatever_the_selector_says_and_count_towards_the_ratio():
    """4 of 20 tokens, 2 of them the first."""
    assert through("fp32+keep=0.2,sinks=2", kv_of()).slots.tolist() == [0, 1, 18, 19]


def test_more_sinks_than_kept_tokens_keep_the_first_ones():
    """The ratio has the last word."""
    assert through("fp32+keep=0.1,sinks=9", kv_of()).slots.tolist() == [0, 1]


def test_of_equal_tokens_the_earlier_is_kept():
    """Ties are broken alike everywhere, however many there are."""
    kv = LayerKV(0, torch.ones(1, 600, 2), torch.ones(1, 600, 2), RopePhase.POST, 600)
    assert through("fp32+keep=0.5,by=value_norm", kv).slots.tolist() == list(range(300))


@given(tokens=st.integers(1, 60), ratio=st.floats(0.01, 0.99), by=st.sampled_from(SELECTORS), seed=st.integers(0, 9))
def test_any_ratio_keeps_at_least_one_token_and_as_many_as_announced(tokens, ratio, by, seed):
    """Down to a context of one token."""
    back = through(f"fp16+keep={ratio!r},by={by},scope=head", kv_of(2, tokens, 4, seed))
    assert back.keys.shape[1] == back.slots.shape[1] == Keep(ratio).count(tokens)
    assert (back.slots.diff(dim=1) > 0).all()


def test_keeping_half_halves_the_bits_and_pays_for_its_index():
    """Bits count values before pruning: 8 in float16, a bit per token for the bitmap, the header."""
    kv = kv_of(2, 400, 64)
    codec = Codec(CodecSpec.parse("fp16+keep=0.5,by=random"))
    data = codec.encode_layer(kv)
    assert len(data) == 2 * 2 * 2 * 200 * 64 + 400 // 8 + len("fp16+keep=0.5,by=random") + 34
    assert 8 < bits_per_value(len(data), kv) < 8.02


def test_a_cache_that_was_pruned_already_is_not_encoded_again():
    """Its slots would be lost."""
    pruned = through("fp32+keep=0.5", kv_of())
    with pytest.raises(InvalidRequestError, match="not pruned yet"):
        Codec(CodecSpec.parse("fp16")).encode_layer(pruned)
