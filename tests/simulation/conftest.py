"""Service times of round numbers, so that a test can reckon by hand what must come out."""

import pytest

from simulation.curve import Curve
from simulation.times import CallTimes, ReceiverTimes, ServiceTimes, Shape, SharerTimes, Sizes

LAYERS = 10


@pytest.fixture
def times():
    """Ten layers; a context of 64 tokens takes 0.4 s to read, and a step 50 ms."""
    return ServiceTimes(
        {"model": "made up"},
        Shape(LAYERS, 2, 64, 4),
        Sizes(1000.0, 3000.0, 0.0),
        SharerTimes(0.001, 0.0, Curve(0.08, 0.005), Curve(0.0005, 0.00001), 1.2, 0.9),
        ReceiverTimes(
            0.001, Curve(0.0004, 0.00001), Curve(0.0002), Curve(0.06, 0.002), 0.001, Curve(0.045, 0.005), 0.002, 1.2
        ),
        CallTimes(0.004, 0.002, 0.0003, 6_000_000),
    )
