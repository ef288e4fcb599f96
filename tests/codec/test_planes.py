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


def test_planes_that_were_expected_and_that_came_are_told_in_their_order():
    """Each with its type and shape."""
    layout = tuple(PlaneShape(name, torch.uint8, (1,)) for name in "ab")
    planes = tuple(Plane(name, torch.zeros(1, dtype=torch.uint8)) for name in "ba")
    says = r"planes a:uint8\[1\], b:uint8\[1\] expected, b:uint8\[1\], a:uint8\[1\] arrived"
    with pytest.raises(DataLossError, match=says):
        check_planes(planes, layout, "layer 0 keys")


def test_size_is_the_sum_of_the_planes_bytes():
    """Elements times element size, whatever the type."""
    planes = (Plane("q", torch.zeros(3, 5, dtype=torch.uint8)), Plane("s", torch.zeros(3, dtype=torch.float16)))
    assert nbytes(planes) == 15 + 6


@pytest.fixture(params=[True, False], ids=["by a loop", "by torch"])
def either_way(request, monkeypatch):
    """As in main memory, and as on a device that loops cannot reach."""
    monkeypatch.setattr("codec.planes.in_main_memory", lambda _: request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_float_that_is_not_finite_is_noticed(dtype, bad):
    """The largest finite number of the format is."""
    largest = torch.finfo(dtype).max
    assert Plane("x", torch.tensor([0, largest, -largest], dtype=dtype)).finite()
    assert not Plane("x", torch.tensor([0, bad, 1], dtype=dtype)).finite()


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("byte", [0x7F, 0xFF])
def test_an_8_bit_float_that_is_not_a_number_is_noticed(byte):
    """E4M3 has one NaN for each sign and no infinity."""
    good, bad = torch.tensor([0x7E, 0xFE, 0]), torch.tensor([0, byte])
    assert Plane("q", good.to(torch.uint8).view(torch.float8_e4m3fn)).finite()
    assert not Plane("q", bad.to(torch.uint8).view(torch.float8_e4m3fn)).finite()
