"""The matrix of a report: which rows were measured here, and why others were not."""

import json

import pytest

from experiments.report import write_report
from kvwire.errors import InvalidRequestError


def entry(row, state, why="", recipe="r"):
    return {"row": row, "title": f"Title of {row}", "recipe": recipe, "state": state, "why": why}


def lines_of(folder, wanted=None):
    """The cells of the matrix after a report, by line."""
    if wanted is not None:
        (folder / "matrix.json").write_text(json.dumps(wanted))
    write_report(folder)
    table = (folder / "report.md").read_text().split("## The matrix\n")[1].split("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:]]


@pytest.fixture
def run(write_results):
    """A folder with a run that says which rows it measures."""

    def write(rows, **how):
        folder = write_results(**how)
        path = folder / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"row": rows}))
        return folder.parent

    return write


def test_a_row_that_was_run_has_items_and_a_headline_with_its_interval(run):
    """Of the uncompressed cache against the receiver alone."""
    [line] = lines_of(run(["B1"]))
    assert line[:5] == ["B1", "Made up <on> the spot: pocket", "made-up", "measured here", "30"]
    assert line[5].startswith("Better than receiver_only: accuracy +46.7 points (+")
    assert "net context gain 91.2 % (" in line[5]


def test_rows_that_were_not_run_say_why(run):
    """In the order of the list; a run's row that is not listed comes last."""
    wanted = [
        entry("D4", "ready", "needs a GPU"),
        entry("E1", "missing", "no fuser"),
        entry("F1", "measured", "in May"),
    ]
    lines = lines_of(run(["B1"]), wanted)
    assert [line[0] for line in lines] == ["D4", "E1", "F1", "B1"]
    assert lines[0][1:] == ["Title of D4", "r", "ready, not run here", "-", "needs a GPU"]
    assert [line[3] for line in lines] == ["ready, not run here", "missing", "measured elsewhere", "measured here"]


def test_what_was_run_counts_as_measured_whatever_the_list_says(run):
    """Under the list's title."""
    [line] = lines_of(run(["B1"]), [entry("B1", "ready", "not yet", recipe="made-up")])
    assert line[1:5] == ["Title of B1: pocket", "made-up", "measured here", "30"]


def test_a_row_of_several_recipes_has_a_line_for_each(run):
    """One was run, the other not."""
    lines = lines_of(run(["PAIRS"]), [entry("PAIRS", "ready", "no time", recipe=name) for name in ("made-up", "other")])
    assert [(line[0], line[2], line[3]) for line in lines] == [
        ("PAIRS", "made-up", "measured here"),
        ("PAIRS", "other", "ready, not run here"),
    ]


def test_a_run_may_measure_several_rows(run):
    """A line each."""
    assert [line[0] for line in lines_of(run(["C1", "C2"]))] == ["C1", "C2"]


def test_for_latex_the_last_column_breaks_its_lines(run):
    """Headlines are long."""
    folder = run(["B1"], items=5)
    write_report(folder)
    assert (folder / "tables" / "report-matrix.tex").read_text().startswith("\\begin{tabular}{lllllp{.4\\linewidth}}\n")


def test_an_unfinished_row_says_how_far_it_is(run):
    """So many of so many items."""
    folder = run(["B1"], items=5)
    path = folder / "made-up" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert lines_of(folder)[0][4] == "4 of 5"


def test_without_rows_there_is_no_matrix(write_results):
    """Neither listed nor run."""
    folder = write_results(items=5).parent
    write_report(folder)
    assert "The matrix" not in (folder / "report.html").read_text()
    assert not (folder / "tables" / "report-matrix.tex").exists()


@pytest.mark.parametrize(
    "text",
    ["{}", "not json", '[{"row": "A"}]', '[{"row": "A", "state": "done"}]'],
)
def test_a_list_of_another_shape_is_refused_before_anything_is_written(write_results, text):
    """With the file and the place."""
    folder = write_results(items=5).parent
    (folder / "matrix.json").write_text(text)
    with pytest.raises(InvalidRequestError, match=r"matrix\.json, "):
        write_report(folder)
    assert not (folder / "report.html").exists()
