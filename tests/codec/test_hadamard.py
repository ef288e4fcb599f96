"""Hadamard and Lloyd-Max: lengths stay, outliers spread, distortion is the textbook's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.quantize.base import Context, Kind
from codec.quantize.hadamard import Hadamard, _turn, _turn_back
from codec.spec import CodecSpec
from kvwire.errors import SpecError


def there_and_back(bits, x):
    ctx = Context(0, Kind.KEY, *x.shape, torch.arange(x.shape[1]))
    quantizer = Hadamard(bits)
    return quantizer.decode(quantizer.encode(x, ctx), ctx)


def gaussian(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative_error(bits, x):
    return float((there_and_back(bits, x) - x).square().sum() / x.square().sum())


@given(head_dim=st.integers(1, 300), seed=st.integers(0, 99))
def test_turning_keeps_lengths_and_turns_back(head_dim, seed):
    """Also where head_dim is no power of two."""
    x = gaussian(1, 3, head_dim, seed=seed)
    torch.testing.assert_close(_turn(x).norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(_turn_back(_turn(x)), x)


def test_the_turn_is_the_hadamard_matrix_after_signs():
    """Against the matrix itself, in float64."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(6):
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64), matrix)
    x = gaussian(2, 5, 64)
    columns = _turn(torch.eye(64)[None])[0].double() * 8
    assert torch.equal(columns.abs(), torch.ones(64, 64, dtype=torch.float64))
    torch.testing.assert_close(columns * columns[:, :1] @ matrix / 64, torch.eye(64, dtype=torch.float64))
    torch.testing.assert_close(_turn(x).double(), x.double() @ columns / 8, atol=1e-5, rtol=0)


#: Bits -> distortion of the best levels for a Gaussian of variance 1 (Max 1960, table I).
DISTORTION = {2: 0.1175, 3: 0.03454, 4: 0.009497, 5: 0.002499}


@pytest.mark.parametrize("bits", DISTORTION)
@pytest.mark.parametrize("head_dim", [64, 80, 96, 128, 256])
def test_gaussian_vectors_lose_what_the_best_levels_must_lose(bits, head_dim):
    """Max's table, within 4 %: a sphere is not quite a Gaussian."""
    assert relative_error(bits, gaussian(4, 2000, head_dim)) == pytest.approx(DISTORTION[bits], rel=0.04)


@pytest.mark.parametrize("head_dim", [64, 72, 80, 128])
def test_an_outlier_in_any_channel_loses_no_more_than_a_gaussian_twice_over(head_dim):
    """One channel of 1e4 among ordinary ones: int4 would lose the others altogether."""
    x = gaussian(1, head_dim, head_dim)
    x[0].diagonal()[:] = 30
    assert relative_error(4, x) < 2 * DISTORTION[4]


def test_the_bound_is_the_length_of_what_each_turned_number_may_lose():
    """One of 8 root mean squares, 5.3 beyond the last level, and 63 zeros, each half the widest gap."""
    x = _turn_back(8 * torch.eye(64)[None])
    gap, last = 2.732589571 - 2.069017227, 2.732589571
    length = ((8 - last) ** 2 + 63 * (gap / 2) ** 2) ** 0.5
    torch.testing.assert_close(Hadamard(4).error_bound(x), torch.full((1, 64, 1), length), rtol=1e-3, atol=0)


def test_a_head_dim_that_is_no_power_of_two_costs_no_more_bits():
    """One number for each vector, whatever its length."""
    for head_dim in (64, 80):
        ctx = Context(0, Kind.KEY, 1, 10, head_dim, torch.arange(10))
        planes = {plane.name: plane for plane in Hadamard(4).encode(gaussian(1, 10, head_dim), ctx)}
        assert (planes["q"].nbytes, planes["s"].nbytes) == (10 * head_dim // 2, 20)


@pytest.mark.parametrize("bits", [0, 1, 6])
def test_a_width_without_levels_is_refused(bits):
    """With those that have."""
    with pytest.raises(SpecError, match="bits must be 2, 3, 4 or 5"):
        CodecSpec.parse(f"hadamard:bits={bits}")
