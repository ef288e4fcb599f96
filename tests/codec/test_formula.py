"""The literature's byte count."""

import pytest

from codec.bases import Base
from codec.formula import formula_bytes
from codec.spec import CodecSpec


@pytest.mark.parametrize(
    ("spec", "bits"), [("fp16", 16), ("int8:per=head", 8), ("kivi", 4), ("kivi:bits=2", 2), ("hadamard:bits=3", 3)]
)
def test_only_the_precision_of_the_base_counts(spec, bits):
    """10 tokens, 2 heads, 64 values, keys and values; a default width counts like a given one."""
    assert formula_bytes(CodecSpec.parse(spec), 10, 2, 64) == 10 * 2 * 64 * 2 * bits / 8


def test_a_base_without_a_precision_of_its_own_counts_for_nothing():
    """What is left out has no bits."""
    assert formula_bytes(CodecSpec(Base("omit")), 10, 2, 64) == 0
