"""Means of channels: when they travel, and what they save."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.codec import Codec, decode_layer
from codec.frame import Limits, read
from codec.layer import LayerKV
from codec.planes import Plane
from codec.quantize.base import Context, Kind
from codec.quantize.halving import sum_in_halves
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import DataLossError

BIASED = [0, 1, 5]
AUTO = ["int4", "nf4", "hadamard"]


def context(x):
    return Context(2, Kind.KEY, *x.shape, torch.arange(x.shape[1]))


def gaussian(tokens, bias=0.0, seed=0):
    """Two heads of 64 channels, three of them with a bias."""
    x = torch.randn(2, tokens, 64, generator=torch.Generator().manual_seed(seed))
    x[..., BIASED] += bias
    return x


def quantizer(spec):
    return CodecSpec.parse(spec).base.quantizer()


def names(spec, x):
    return [plane.name for plane in quantizer(spec).encode(x, context(x))]


def error(spec, x):
    """Mean square error on the channels without a bias."""
    others = [channel for channel in range(64) if channel not in BIASED]
    back = quantizer(spec).decode(quantizer(spec).encode(x, context(x)), context(x))
    return float((back - x)[..., others].square().mean())


@pytest.mark.parametrize("base", ["int8", *AUTO])
def test_a_bias_costs_a_centered_codec_nothing_and_another_one_most_of_its_precision(base):
    """Three channels at 100 among ordinary ones, 512 tokens."""
    plain, biased = gaussian(512), gaussian(512, bias=100)
    assert error(f"{base}:center=channel", biased) == pytest.approx(error(f"{base}:center=none", plain), rel=0.1)
    assert error(f"{base}:center=none", biased) > 50 * error(f"{base}:center=channel", biased)


@pytest.mark.parametrize("base", AUTO)
@pytest.mark.parametrize(
    ("tokens", "bias", "centers"),
    [
        (512, 0, False),
        (512, 100, True),
        (512, 8, True),
        (12, 8, False),
        (12, 100, True),
        (4, 100, True),
        (3, 100, False),
        (1, 9, False),
    ],
)
def test_by_default_a_mean_travels_only_where_it_pays(base, tokens, bias, centers):
    """A strong bias pays in four tokens, a weak one only in many, and none in three."""
    assert ("m" in names(base, gaussian(tokens, bias))) is centers


@pytest.mark.parametrize("base", AUTO)
def test_a_message_without_a_bias_is_not_a_byte_longer_than_without_the_rule(base):
    """But for the name of the option."""
    kv = LayerKV(0, gaussian(12), gaussian(12, seed=1), RopePhase.POST, 12)
    by_rule, plain = (Codec(CodecSpec.parse(spec)).encode_layer(kv) for spec in (base, f"{base}:center=none"))
    assert len(plain) - len(by_rule) == len(":center=none")


def test_keys_and_values_are_decided_apart():
    """A bias on keys does not buy means for values."""
    kv = LayerKV(0, gaussian(64, bias=50), gaussian(64, seed=1), RopePhase.POST, 64)
    frame = read(Codec(CodecSpec.parse("int4")).encode_layer(kv), Limits())
    assert [plane.name for plane in frame.keys] == ["q", "s", "m"]
    assert [plane.name for plane in frame.values] == ["q", "s"]


def test_the_rule_sits_where_a_mean_buys_as_much_as_finer_steps():
    """16 / tokens bits per value: each token's energy around the means against 4 ** (-16 / tokens) of the whole."""
    even = torch.arange(8)[:, None] + torch.arange(64) & 1
    rest = 4.0 ** (-16 / 8)
    for share, centers in ((rest * 0.99, True), (rest * 1.01, False)):
        offset = (1 / share - 1) ** 0.5
        assert ("m" in names("int4", (2.0 * even - 1 + round(offset * 1024) / 1024)[None])) is centers


def test_a_head_with_one_token_that_centering_would_lengthen_is_left_alone():
    """An attention sink: its short vector is the one that errors hurt most. The other head has its mean."""
    x = gaussian(64, bias=50)
    x[0, 0] /= 1000
    mean = quantizer("int4").encode(x, context(x))[-1].data
    assert not mean[0].any()
    assert mean[1].any()


def test_a_mean_of_another_shape_is_data_loss():
    """Before anything is added."""
    x = gaussian(64, bias=50)
    *planes, mean = quantizer("int4").encode(x, context(x))
    with pytest.raises(DataLossError, match=r"layer 2 keys: planes .* expected"):
        quantizer("int4").decode((*planes, Plane("m", mean.data[:1])), context(x))


def test_a_mean_nobody_asked_for_is_data_loss():
    """``center=none`` has two planes."""
    x = gaussian(64, bias=50)
    with pytest.raises(DataLossError, match="expected"):
        quantizer("int4:center=none").decode(quantizer("int4").encode(x, context(x)), context(x))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_a_sum_in_halves_is_the_sum(numbers):
    """Within float32 rounding, over any count."""
    x = torch.tensor(numbers)
    total = sum_in_halves(x, dim=0)
    assert float(total) == pytest.approx(float(x.double().sum()), abs=2.0)


def test_a_sum_in_halves_adds_the_later_half_to_the_earlier():
    """Of five numbers: (a + d) + c first meets (b + e) last."""
    x = torch.tensor([1.0, 2.0**24, 1.0, 0.0, -(2.0**24)])
    assert float(sum_in_halves(x, dim=0)) == 2.0  # in reading order 1 + 2**24 would lose the 1


@pytest.mark.parametrize("base", AUTO)
def test_a_frame_with_means_comes_back_through_the_frame(base):
    """The frame says whether they are there."""
    kv = LayerKV(0, gaussian(64, bias=50), gaussian(64, seed=1), RopePhase.POST, 64)
    back = decode_layer(Codec(CodecSpec.parse(base)).encode_layer(kv), Limits())
    assert float((back.keys - kv.keys).square().mean()) < 0.05


def test_a_mean_beyond_float16_leaves_the_other_heads_theirs():
    """That head goes without, as int4 alone can; nothing becomes NaN."""
    base = "int4"
    x = gaussian(64, bias=50)
    x[0] += 7e4
    planes = quantizer(base).encode(x, context(x))
    back = quantizer(base).decode(planes, context(x))
    assert planes[-1].name == "m"
    assert not planes[-1].data[0].any()
    assert float((back[1] - x[1]).square().mean()) < 0.05
    assert float((back[0] - x[0]).abs().amax()) < 0.2 * 7e4
