"""Sums and the rule of ``center=auto`` against the plain torch path that defines them, to the bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.quantize.center import all_shorter, all_shorter_plainly, sums, sums_plainly

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def numbers(shape, seed, dtype, bias=0.0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    x[..., ::5] += bias
    return x.to(dtype)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.sampled_from([1, 2, 7, 33, 64, 80])),
    bias=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_the_kernels_give_the_bits_of_the_plain_path(dtype, shape, bias, share, seed):
    """Any count of tokens, any head_dim, with and without a bias."""
    x = numbers(shape, seed, dtype, bias)
    total = sums_plainly(x)
    assert torch.equal(sums(x), total)
    mean = (total / shape[1]).to(torch.float16)
    assert torch.equal(all_shorter(x, mean, share), all_shorter_plainly(x, mean, share))


def test_the_rule_falls_the_same_way_on_its_very_edge():
    """Shares a rounding below, at and above the exact quotient of the two energies, for 300 vectors."""
    x = numbers((300, 1, 64), 0, torch.float32, bias=2.0)
    mean = torch.full((300, 1, 64), 0.3).to(torch.float16)
    quotients = ((x - mean.float()).square().sum(-1) / x.square().sum(-1)).flatten()
    decided = set()
    for quotient in quotients.tolist():
        for share in (quotient * (1 - 1e-7), quotient, quotient * (1 + 1e-7)):
            found = all_shorter(x, mean, share)
            assert torch.equal(found, all_shorter_plainly(x, mean, share))
            decided |= set(found.flatten().tolist())
    assert decided == {True, False}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_head_with_no_number_to_compare_is_not_shorter(wrong):
    """In its last token; the other head stays what it is."""
    x = numbers((2, 9, 64), 1, torch.float32, bias=30.0)
    x[0, 8, 3] = wrong
    mean = (sums(x) / 9).to(torch.float16)
    assert all_shorter(x, mean, 0.9).flatten().tolist() == [False, True]


def test_any_number_of_threads_gives_the_same_bits(set_threads):
    """Above the size from which work is shared."""
    x = numbers((5, 1001, 65), 2, torch.bfloat16, bias=30.0)
    mean = (sums_plainly(x) / 1001).to(torch.float16)
    for threads in (1, 2, 3):
        set_threads(threads)
        assert torch.equal(sums(x), sums_plainly(x))
        assert all_shorter(x, mean, 0.9).all()


def test_a_cut_and_transposed_view_is_read_where_it_lies():
    """As a model hands over a part of its cache."""
    view = numbers((9, 3, 64), 1, torch.bfloat16, bias=30.0).transpose(0, 1)[:, 2:8]
    assert torch.equal(sums(view), sums_plainly(view))
