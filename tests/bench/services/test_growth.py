"""Growth is measured on real services, and exponents are those of the law that made the numbers."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bench.services import growth
from bench.services.growth import Row, exponent, exponents, main
from bench.services.growth_plot import plot

SIZES = (1, 2, 4, 8, 16)


def rows(over):
    sizes = [(size, 1) if over == "length" else (128, size) for size in SIZES]
    return [
        Row(tokens, count, [0.1 * size] * 3, [0.2 * size**2] * 3, 1000 * size, 10 * size**2)
        for size, (tokens, count) in zip(SIZES, sizes, strict=True)
    ]


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7, 2.0])
def test_the_exponent_of_a_power_law_is_found(power):
    """With rounds that scatter by a tenth, its interval holds it."""
    scatter = np.random.default_rng(1).uniform(0.9, 1.1, (len(SIZES), 9))
    found = exponent(SIZES, [list(0.3 * size**power * each) for size, each in zip(SIZES, scatter, strict=True)])
    assert found.value == pytest.approx(power, abs=0.05)
    assert found.low <= power <= found.high
    assert found.high - found.low < 0.1


@pytest.mark.parametrize("over", ["length", "concurrency"])
def test_every_quantity_gets_its_own_exponent(over):
    """Of all rows, and of the last doubling."""
    found = {name: each.value for name, each in exponents(over, rows(over)).items()}
    for last in ("", ", last doubling"):
        assert found[f"time to first token{last}"] == pytest.approx(1)
        assert found[f"end to end{last}"] == pytest.approx(2)
        assert found[f"sharer's memory{last}"] == pytest.approx(1)
        assert found[f"receiver's memory{last}"] == pytest.approx(2)


def test_the_figure_has_every_point():
    """In four panels."""
    drawn = plot({over: rows(over) for over in ("length", "concurrency")})
    assert drawn.count("end to end, ") == 2 * len(SIZES)
    assert drawn.count("receiver's memory, ".replace("'", "&#x27;")) == 2 * len(SIZES)


def test_a_growth_over_something_else_is_refused(tmp_path):
    """Before a service is started."""
    command = typer.Typer()
    command.command()(main)
    done = CliRunner().invoke(command, ["--json", str(tmp_path / "growth.json"), "--over", "width"])
    assert done.exit_code == 2
    assert "'width' is not one of" in done.output


@pytest.mark.slow
@pytest.mark.model
def test_longer_contexts_and_more_at_once_take_longer_and_more_memory(smollm2, tmp_path, monkeypatch):
    """On services of their own; both kinds of rows are kept in one file."""
    monkeypatch.setattr(growth, "LENGTHS", (64, 1024))
    monkeypatch.setattr(growth, "CONCURRENCY", (1, 8))
    for over in ("length", "concurrency"):
        main(tmp_path / "growth.json", over, f"path:{smollm2.path}", 1, tmp_path / "growth.svg")
    found = json.loads((tmp_path / "growth.json").read_text())
    for over in ("length", "concurrency"):
        small, large = found[over]["rows"]
        assert large["first_token_s"] > small["first_token_s"]
        assert large["receiver_bytes"] > small["receiver_bytes"] > 0
    assert (tmp_path / "growth.svg").exists()
