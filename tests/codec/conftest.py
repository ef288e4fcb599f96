"""Loops are compiled before the first test, which may have a deadline."""

import pytest
import torch

from codec.warm import warm


@pytest.fixture(scope="session", autouse=True)
def warmed():
    """Compiled for float32, which most tests encode."""
    warm(torch.float32)
