"""KIVI: groups along tokens for keys, along channels for values, and what is left over."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.quantize.base import Context, Kind
from codec.quantize.bits import pack, packed_bytes, unpack
from codec.quantize.kivi import Kivi
from codec.spec import CodecSpec
from kvwire.errors import SpecError


def context(kind, x):
    return Context(0, kind, *x.shape, torch.arange(x.shape[1]))


def planes_of(kivi, kind, x):
    return {plane.name: plane.data for plane in kivi.encode(x, context(kind, x))}


def there_and_back(kivi, kind, x):
    return kivi.decode(kivi.encode(x, context(kind, x)), context(kind, x))


def gaussian(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@given(width=st.integers(1, 8), data=st.data())
def test_codes_of_any_width_come_back_from_as_few_bytes_as_hold_them(width, data):
    """No bit between two codes."""
    codes = torch.tensor(data.draw(st.lists(st.integers(0, 2**width - 1), max_size=40)), dtype=torch.uint8)
    stored = pack(codes, width)
    assert stored.numel() == packed_bytes(codes.numel(), width) == -(-codes.numel() * width // 8)
    back = unpack(stored, width, codes.numel())
    assert back.dtype == torch.uint8
    assert torch.equal(back, codes)


def test_the_first_code_is_lowest():
    """Bit by bit: 1, 2, 7 in three bits each."""
    assert pack(torch.tensor([1, 2, 7], dtype=torch.uint8), 3).tolist() == [0b11010001, 0b1]


@given(
    heads=st.integers(1, 3),
    tokens=st.integers(1, 40),
    head_dim=st.integers(1, 40),
    bits=st.sampled_from([2, 3, 4]),
    group=st.integers(3, 33),
    kind=st.sampled_from(Kind),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e4]),
)
def test_any_number_comes_back_within_half_a_step_of_its_group(heads, tokens, head_dim, bits, group, kind, scale):
    """Whatever is left over after the last full group, on either axis."""
    x = gaussian(heads, tokens, head_dim).clamp(-5, 5) * scale
    axis = 1 if kind is Kind.KEY else 2
    back = there_and_back(Kivi(bits, group), kind, x)
    for part, got in zip(x.split(group, axis), back.split(group, axis), strict=True):
        spread = part.amax(axis, keepdim=True) - part.amin(axis, keepdim=True)
        step = spread / (2**bits - 1) + part.abs().amax() * 2**-9 + 2**-23
        assert ((got - part).abs() <= step / 2).all()


@pytest.mark.parametrize("scale", [1e-7, 1.0])
def test_a_number_left_over_errs_by_half_a_unit_of_float16s_last_place(scale):
    """The bound is no less, and no more than some number errs by; also where float16 is subnormal."""
    x = gaussian(200, 1, 1) * scale
    share = (there_and_back(Kivi(), Kind.KEY, x) - x).abs() / Kivi().error_bound(x)
    assert 0.4 < float(share.amax()) <= 1


@pytest.mark.parametrize("kind", Kind)
def test_numbers_left_over_on_both_axes_stay_within_the_bound(kind):
    """34 tokens of 33 channels: the last of either are in no group."""
    x = gaussian(20, 34, 33)
    assert ((there_and_back(Kivi(), kind, x) - x).abs() <= Kivi().error_bound(x) + 1e-6).all()


@pytest.mark.parametrize("shift", [-50, 0, 50])
def test_a_minimum_is_the_greatest_float16_that_is_not_above_its_numbers(shift):
    """On either side of zero; a number that is a float16 is its own."""
    x = gaussian(1, 32, 64) + shift
    x[..., 0] = x[..., 0].half().float()
    least, numbers = planes_of(Kivi(), Kind.KEY, x)["m"][0, :, 0].numpy(), x[0].amin(dim=0).numpy()
    assert (least <= numbers).all()
    assert (np.nextafter(least, np.float16(np.inf)) > numbers).all()


@pytest.mark.parametrize("kind", Kind)
def test_a_minimum_of_zero_is_never_written_as_minus_zero(kind):
    """Which of the two the minimum of both is would depend on the CPU."""
    least = planes_of(Kivi(), kind, -torch.zeros(1, 3, 3))["m"]
    assert least.view(torch.int16).count_nonzero() == 0


def test_a_key_channel_that_is_large_in_every_token_costs_the_others_nothing():
    """The point of KIVI: keys are grouped per channel, so an offset stays in its channel; values are not."""
    x = gaussian(1, 32, 8)
    biased = x.clone()
    biased[..., 3] += 500
    errors = {}
    for kind in Kind:
        plain, shifted = (there_and_back(Kivi(2, 32), kind, each) - each for each in (x, biased))
        errors[kind] = [float(error[..., torch.arange(8) != 3].square().mean()) for error in (plain, shifted)]
    assert errors[Kind.KEY][1] == errors[Kind.KEY][0]
    assert errors[Kind.VALUE][1] > 3 * errors[Kind.VALUE][0]


@pytest.mark.parametrize(
    ("tokens", "names", "groups"), [(1, "r", 0), (2, "r", 0), (3, "qsm", 1), (32, "qsm", 1), (34, "qsmr", 1)]
)
def test_one_or_two_tokens_left_over_travel_as_float16(tokens, names, groups):
    """Three or more make a shorter group; there is no residual of 128 tokens."""
    planes = planes_of(Kivi(2), Kind.KEY, gaussian(2, tokens, 16))
    assert "".join(planes) == names
    assert groups == 0 or tuple(planes["s"].shape) == (2, 16, groups)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_left_over_numbers_take_the_cheaper_form(bits):
    """Up to two as float16, from three on as a group of their own with a step and a minimum."""
    for rest in range(1, 6):
        sizes = bits * rest + 32, 16 * rest
        names = "".join(planes_of(Kivi(bits), Kind.KEY, gaussian(1, rest, 8)))
        assert names == ("r" if sizes[1] <= sizes[0] else "qsm")


@pytest.mark.parametrize("text", ["kivi:bits=1", "kivi:bits=5", "kivi:group=2", "kivi:group=0"])
def test_widths_and_groups_without_sense_are_refused(text):
    """With what is allowed."""
    with pytest.raises(SpecError, match=r"bits must be 2, 3 or 4|group must be at least 3"):
        CodecSpec.parse(text)
