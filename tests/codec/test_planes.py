"""Planes: what a quantizer may leave to the data, and how many bytes there are."""

import pytest
import torch

from codec.planes import Plane, PlaneShape, check_planes, nbytes
from kvwire.errors import DataLossError


def test_a_dimension_left_to_the_data_takes_any_length():
    """Escapes and bit streams are as long as they are; the other dimensions stay fixed."""
    layout = (PlaneShape("e", torch.uint8, (2, None)),)
    for length in (0, 1, 9):
        check_planes((Plane("e", torch.zeros(2, length, dtype=torch.uint8)),), layout, "layer 0 keys")
    with pytest.raises(DataLossError, match=r"layer 0 keys: planes e:uint8\[2x\?\] expected, e:uint8\[3x1\] arrived"):
        check_planes((Plane("e", torch.zeros(3, 1, dtype=torch.uint8)),), layout, "layer 0 keys")


def test_size_is_the_sum_of_the_planes_bytes():
    """Elements times element size, whatever the type."""
    planes = (Plane("q", torch.zeros(3, 5, dtype=torch.uint8)), Plane("s", torch.zeros(3, dtype=torch.float16)))
    assert nbytes(planes) == 15 + 6


@pytest.mark.parametrize("byte", [0x7F, 0xFF])
def test_an_8_bit_float_that_is_not_a_number_is_noticed(byte):
    """E4M3 has one NaN for each sign and no infinity."""
    good, bad = torch.tensor([0x7E, 0xFE, 0]), torch.tensor([0, byte])
    assert Plane("q", good.to(torch.uint8).view(torch.float8_e4m3fn)).finite()
    assert not Plane("q", bad.to(torch.uint8).view(torch.float8_e4m3fn)).finite()
