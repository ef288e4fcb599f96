"""Two codes to a byte, and both their levels by one look-up."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.quantize.nibbles import look_up, pack, packed_bytes, pairs_of


def test_the_earlier_code_is_in_the_low_half():
    """The last of an odd number stands alone."""
    assert pack(torch.tensor([[1, 2, 15]], dtype=torch.uint8)).tolist() == [0x21, 0x0F]


def test_each_byte_has_a_pair_of_levels():
    """Low half first."""
    levels = torch.arange(16.0) - 7
    pairs = pairs_of(levels)
    assert tuple(pairs.shape) == (256, 2)
    assert pairs[0x2F].tolist() == [8, -5]


@given(codes=st.lists(st.integers(0, 15), min_size=1, max_size=40))
def test_codes_are_looked_up_from_as_few_bytes_as_hold_them(codes):
    """Any number of them."""
    levels = torch.arange(16.0) * 3 - 7
    packed = pack(torch.tensor(codes, dtype=torch.uint8))
    assert packed.numel() == packed_bytes(len(codes)) == (len(codes) + 1) // 2
    assert torch.equal(look_up(packed, pairs_of(levels), len(codes)), levels[codes])
