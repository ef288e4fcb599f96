"""Kernels against the plain torch path that defines them: the same bytes and the same floats, to the bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.quantize.base import Context, Kind
from codec.quantize.center import Centered
from codec.spec import CodecSpec

SPECS = ["int8", "int8:per=head", "fp8", "fp8:per=token", "int4", "int4:block=7", "nf4", "nf4:block=32"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

#: Every kind of number a cache may hold, also where float16 scales are subnormal or zero.
SIZES = st.sampled_from([0.0, 1e-45, 1e-42, 1e-38, 1e-9, 6e-8, 6e-5, 1e-3, 1.0, 77.7, 1e4])


def context(x):
    heads, tokens, head_dim = x.shape
    return Context(7, Kind.KEY, heads, tokens, head_dim, torch.arange(tokens))


def quantizer(spec):
    found = CodecSpec.parse(spec).base.quantizer()
    return found.plain() if isinstance(found, Centered) else found


def assert_as_plain(quantizer, x):
    expected = quantizer.quantize_plainly(x)
    numbers = quantizer.dequantize_plainly(expected, context(x))
    planes = quantizer.quantize(x, context(x))
    for got, want in zip(planes, expected, strict=True):
        assert (got.name, got.data.shape) == (want.name, want.data.shape)
        assert torch.equal(got.data.view(torch.uint8), want.data.contiguous().view(torch.uint8))
    back = quantizer.dequantize(planes, context(x))
    assert torch.equal(back.view(torch.int32), numbers.contiguous().view(torch.int32))


def numbers(shape, seed, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.clamp(-4, 4).to(dtype)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.sampled_from([1, 2, 7, 33, 64, 80])),
    sizes=st.lists(SIZES, min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_a_kernel_gives_the_bits_of_the_plain_path(spec, dtype, shape, sizes, seed):
    """One token, one head, odd head_dim, short last blocks; zeros, denormals and outliers of 1e4, token by token."""
    x = numbers(shape, seed, torch.float32)
    for token, size in enumerate(sizes[: shape[1]]):
        x[:, token] *= size
    assert_as_plain(quantizer(spec), x.to(dtype))


@pytest.mark.parametrize("spec", ["int8", "fp8", "int4", "nf4:block=32", "int8:center=channel", "int4:center=channel"])
def test_a_tensor_that_no_kernel_reaches_takes_the_plain_path_to_the_same_bits(spec, monkeypatch):
    """As on a device; of 64 tokens about a mean of 50 the rule takes that out."""
    x = numbers((2, 64, 64), 2, torch.float32) + 50
    whole = CodecSpec.parse(spec).base.quantizer()

    def planes_and_back():
        planes = whole.encode(x, context(x))
        return [*(plane.data for plane in planes), whole.decode(planes, context(x))]

    by_kernel = planes_and_back()
    for module in ("center", "eightbit", "fourbit"):
        monkeypatch.setattr(f"codec.quantize.{module}.in_main_memory", lambda _: False)
        monkeypatch.setattr(f"codec.quantize.{module}.kernel", None)
    plainly = planes_and_back()
    assert all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in zip(by_kernel, plainly, strict=True))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_shows_in_what_the_plain_path_writes(spec, bad):
    """So that it is refused; whatever code it gets."""
    x = numbers((1, 2, 64), 0, torch.float32)
    x[0, 1, 5] = bad
    assert not all(plane.finite() for plane in quantizer(spec).quantize_plainly(x))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("constant", [0.0, -0.0, 1.0, -77.7, 1e4, 448.0, 2.0**-24])
def test_a_constant_gives_the_bits_of_the_plain_path(spec, constant):
    """Groups without spread, and numbers that are scales themselves."""
    assert_as_plain(quantizer(spec), torch.full((2, 3, 65), constant))


@pytest.mark.parametrize("spec", SPECS)
def test_every_float16_gives_the_bits_of_the_plain_path(spec):
    """All finite ones, each beside a 1 and beside the largest."""
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.float16)
    every = every[torch.isfinite(every)].reshape(1, -1, 1)
    assert_as_plain(quantizer(spec), every.expand(1, -1, 2).contiguous())
    assert_as_plain(quantizer(spec), torch.cat((every, torch.ones_like(every), torch.zeros_like(every)), dim=-1))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", [(3, 1001, 65), (1, 1100, 128)])
def test_any_number_of_threads_gives_the_same_bytes(spec, shape, set_threads):
    """Above the size from which work is shared, with ranges of unequal length."""
    x = numbers(shape, 0, torch.float32)
    found = []
    for threads in (1, 2, 3):
        set_threads(threads)
        planes = quantizer(spec).encode(x, context(x))
        found.append((*(plane.data for plane in planes), quantizer(spec).decode(planes, context(x))))
    one = [data.view(torch.uint8) for data in found[0]]
    for other in found[1:]:
        assert all(torch.equal(a, b.view(torch.uint8)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_a_cut_and_transposed_view_is_read_where_it_lies(dtype):
    """As a model hands over a part of its cache."""
    whole = numbers((9, 3, 64), 1, dtype)
    view = whole.transpose(0, 1)[:, 2:8]
    for spec in SPECS:
        assert_as_plain(quantizer(spec), view)
