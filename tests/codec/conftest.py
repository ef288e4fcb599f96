"""Compiled loops, and tables for codecs that need them, made without any model."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from calibration.calibrate import untried
from calibration.histograms import Histograms
from calibration.transform import design
from codec.calibration import Calibration, serialize
from codec.warm import warm


def _tables(heads: int, dim: int, layers: int = 2, seed: int = 7) -> Calibration:
    numbers = np.random.default_rng(seed)  # numpy's streams never change, torch's may
    axes = torch.from_numpy(np.linalg.qr(numbers.standard_normal((dim, dim)))[0])
    # Around 1, so that standard normal numbers are ordinary tokens.
    covariance = (axes * torch.linspace(0.5, 2, dim, dtype=torch.float64)) @ axes.mT
    covariance = covariance.expand(layers, 2, heads, dim, dim)
    metric = torch.eye(dim, dtype=torch.float64).expand_as(covariance)
    tensors = untried(np.zeros((layers, 2, heads, dim), np.float32), design(covariance, metric))
    tensors["frequencies"] = Histograms().frequencies()
    return Calibration.parse(serialize("nobody/none", bytes(32), tensors), "synthetic tables")


@pytest.fixture(scope="session")
def rd_tables() -> Callable[..., Calibration]:
    """Tables for so many heads of so many channels; all heads alike, means 0."""
    return _tables


@pytest.fixture(scope="session", autouse=True)
def warmed():
    """Loops are compiled before the first test, which may have a deadline; for float32, which most tests encode."""
    warm(torch.float32)
