"""The page on scale is filled from what was measured, and from nothing else."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.services import scale_page, scale_runs
from bench.services.scale_page import comparison, filled, main
from kvwire.errors import NotFoundError
from tests.bench.services.test_stage_points import fitted, measured

PAGE = Path(__file__).parents[3] / "docs" / "scale.md"


def found(apart=0.1):
    figures = dict.fromkeys(scale_page._COMPARED, 0.5)
    load = {"share_of_capacity": 0.6, "rate_rps": 0.9, "requests": 120, "failed": 0, "measured": figures}
    load |= {"simulated": dict.fromkeys(figures, 0.5 * (1 + apart)), "apart": dict.fromkeys(figures, apart)}
    return {"measured": {"machine": "a slow one"}, "capacity_rps": 1.5, "loads": [load]}


def test_what_is_too_far_apart_is_named():
    """And what is near enough is said to be."""
    assert "All within 15 %" in comparison(found(0.1))
    assert "**Not** within 15 %: answers per second at 60 %, first token p50, ms at 60 %" in comparison(found(-0.2))
    assert "| 500, 400 (-20 %) |" in comparison(found(-0.2))


def test_a_page_without_the_place_is_refused():
    """Rather than left as it was."""
    with pytest.raises(NotFoundError, match="<!-- pairs -->"):
        filled("# Scale\n", {"pairs": "text"})


@pytest.fixture
def files(tmp_path):
    """What was found, the times, and the page as it stands."""
    points = measured()
    misfit = {name: each.worst for name, each in points.fits().items()}
    texts = {
        "found.json": json.dumps(found()),
        "times.json": json.dumps({"times": asdict(fitted()), "worst_misfit": misfit, "points": points.found}),
        "page.md": PAGE.read_text(),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in texts]


def test_nothing_is_said_of_larger_systems_if_the_pair_is_not_right(files):
    """However little it would take."""
    files[0].write_text(json.dumps(found(-0.2)))
    main(*files)
    assert files[2].read_text().count("**Not simulated**") == len(scale_runs.RUNS)


def test_every_place_of_the_page_is_filled_and_nothing_else_changes(files, monkeypatch):
    """By short runs; filled twice it is the same."""
    monkeypatch.setattr(scale_runs, "_REQUESTS", 20)
    main(*files)
    once = files[2].read_text()
    assert "Not measured yet" not in once
    assert once.count("<!-- end -->") == 2 + len(scale_runs.RUNS)
    assert "| 64 | " in once
    main(*files)
    assert files[2].read_text() == once
