"""Speeds are computed from the clock and from whole frames."""

import itertools

import pytest
import torch

from bench.speed import Shape, best_s, measure
from codec.spec import CodecSpec


def test_the_best_run_counts_and_the_first_does_not():
    """By the clock that is passed in."""
    ticks = iter([0.0, 1.0, 4.0, 5.0, 7.0, 8.0, 12.0])
    assert best_s(lambda: None, budget_s=11.0, clock=lambda: next(ticks)) == 2.0


def test_a_row_counts_the_layer_as_bfloat16_and_every_byte_of_the_frame():
    """Each measurement takes one tick of the clock."""
    seconds = itertools.count()
    row = measure(CodecSpec.parse("int8+rope=pre"), Shape(10, 3, 64, torch.float32), 0.0, lambda: float(next(seconds)))
    assert row.encode_gbps == row.decode_gbps == row.copy_gbps == 2 * 3 * 10 * 64 * 2 / 1e9
    assert row.codec == "int8+rope=pre"
    assert row.bits_per_value == pytest.approx(8.25, abs=0.2)
    assert row.bits_per_value > 8.25
