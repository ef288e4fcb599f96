"""The plot of KL against bits."""

import re

import pytest

from bench.plot import plot
from bench.row import Row


def row(codec, bits, kl, model="m", tokens=512):
    return Row(codec, model, tokens, bits, kl, (kl / 2, kl * 2), 0.9, 1.0, 1.0, 9.0, 20)


def paths(svg, kind):
    return re.findall(rf'<path class="{kind}" d="([^"]+)"', svg)


def test_each_base_is_a_curve_and_each_model_and_length_a_panel():
    """Keys before RoPE make a curve of their own; the legend is one panel more."""
    rows = [row("int8", 8.25, 1e-4), row("nf4", 4.25, 0.02), row("nf4+rope=pre", 4.25, 0.01), row("nf4", 4.3, 1, "n")]
    svg = plot(rows)
    assert svg.count("<title>nf4, keys before RoPE</title>") == 1
    assert "m, 512 tokens" in svg
    assert "n, 512 tokens" in svg
    assert len(paths(svg, "level")) == 2


def test_the_slope_runs_through_the_best_point_and_drops_fourfold_per_bit():
    """A second point on the line lies on it too, to the pixel."""
    svg = plot([row("nf4", 4.0, 0.04), row("kivi:bits=3", 3.0, 0.16), row("kivi:bits=2", 2.0, 3.0)])
    line = [tuple(map(float, at.split(","))) for at in paths(svg, "level")[0][1:].split("L")]
    for name in ("nf4", "kivi"):
        joined = next(d for d in (*paths(svg, "c0 line"), *paths(svg, "c1 line")) if d.count("L") == (name == "kivi"))
        x, y = map(float, joined[1:].split("L")[-1].split(","))
        assert min((x - a) ** 2 + (y - b) ** 2 for a, b in line) ** 0.5 < 2


@pytest.mark.parametrize("rows", [[], [row("fp32", 32.0, 0.0)]])
def test_nothing_to_show_still_is_a_picture(rows):
    """A legend without entries."""
    assert plot(rows).startswith("<svg")
