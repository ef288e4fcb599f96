"""A training's losses as a picture."""

from xml.etree import ElementTree as ET

from bench.loss_plot import plot


def test_every_block_of_steps_is_a_point_that_says_its_mean():
    """Of 61 steps the last one is in no block."""
    drawn = plot("a fuser", "likelihood", [2.0, 1.0] * 30 + [9.0])
    ET.fromstring(drawn)  # noqa: S314  # ours
    assert drawn.count("from step") == 30
    assert "from step 58: 1.5" in drawn
    assert "from step 60" not in drawn
