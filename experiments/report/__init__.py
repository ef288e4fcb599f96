"""The report of a folder of results: one page, and its figures and tables as files of their own.

May import: ``experiments``. A new figure is one file here and one line in :func:`_section` or :func:`write_report`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from experiments.curves import Row, rows_of
from experiments.fronts import fronts_of
from experiments.report.csv_file import csv_text
from experiments.report.figures import Figure
from experiments.report.headline import headline
from experiments.report.latency import latency_figures
from experiments.report.latex import latex_table
from experiments.report.lengths import length_figures
from experiments.report.markdown import markdown_table
from experiments.report.matrix import Run, matrix_table, wanted_rows
from experiments.report.page import FRONTS, HOW_TO_READ, Other, Report, Section, coverage, origin, page
from experiments.report.pruning import pruning_figures
from experiments.report.quality import quality_figure
from experiments.report.sensitivity import find_profiles, sensitivity_figure
from experiments.report.table import Table, arms_tables, comparisons_table, front_table
from experiments.results import DatasetResults, Results, find_results
from kvwire.errors import InvalidRequestError

__all__ = ["write_report"]


def write_report(folder: Path, say: Callable[[str], object] = lambda _: None) -> list[Path]:
    """Write the page, its tables in Markdown and every number as CSV into the folder; return the paths of all files.

    Each figure goes to ``figures``, as SVG and its numbers as CSV, each table to ``tables``, as LaTeX. ``say`` hears
    of every run before its intervals are computed, which takes seconds for each 10,000 lines.

    Raises:
        NotFoundError: The folder holds no results.
        InvalidRequestError: They cannot be read, or no item is finished yet.
    """
    wanted = wanted_rows(folder)
    runs = [Run(results, _rows(results, say)) for results in find_results(folder)]
    sections = [
        _section(run.results, dataset, own)
        for run in runs
        for dataset in run.results.datasets
        if (own := [row for row in run.rows if row.dataset == dataset.name])
    ]
    if not sections:
        raise InvalidRequestError(f"no item in {folder} is finished yet; run the experiment a little longer")
    report = Report(sections, [*_lengths(runs), *_profiles(folder)], matrix_table(wanted, runs))
    texts = {
        "report.html": page(report),
        "report.md": "\n".join(_markdown(report)),
        "report.csv": csv_text([(run.results.name, row) for run in runs for row in run.rows]),
        **_files(report),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _rows(results: Results, say: Callable[[str], object]) -> list[Row]:
    lines = sum(len(dataset.items) * len(dataset.arms) for dataset in results.datasets)
    say(f"{results.name}: {lines} lines")
    return rows_of(results)


def _section(results: Results, dataset: DatasetResults, rows: Sequence[Row]) -> Section:
    fronts = fronts_of(dataset, rows, int(results.run["seed"]))
    figures = (
        *(quality_figure(front, rows) for front in fronts),
        *latency_figures(dataset.name, rows),
        *pruning_figures(dataset.name, rows),
    )
    tables = (
        *arms_tables(dataset.name, rows),
        *(front_table(front) for front in fronts),
        comparisons_table(dataset.name, rows),
    )
    return Section(results, dataset, headline(rows), figures, tables)


def _lengths(runs: Sequence[Run]) -> Iterator[Other]:
    for run in runs:
        for figure in length_figures(run.results):
            yield Other(run.results.name, f"{run.results.title}: length of the context", figure)


def _profiles(folder: Path) -> Iterator[Other]:
    for found in find_profiles(folder):
        yield Other("profile", f"{found.model}: sensitivity by layer and {found.by}", sensitivity_figure(found))


def _markdown(report: Report) -> Iterator[str]:
    if report.matrix:
        yield f"## {report.matrix.title}\n"
        yield markdown_table(report.matrix.cells)
    for section in report.sections:
        yield f"## {section.results.title}: {section.dataset.name}\n"
        yield f"{coverage(section.dataset)} {section.headline} {origin(section.results)}\n"
        for table in section.tables:
            yield f"### {table.title}\n"
            yield markdown_table(table.cells)
    yield f"{HOW_TO_READ}\n"
    yield f"{FRONTS}\n"


def _files(report: Report) -> dict[str, str]:
    """Figures, with their numbers, and tables, by where they go."""
    found: dict[str, str] = {}
    for owner, figure in _figures(report):
        name = f"figures/{_file_name(owner, figure.name)}"
        found |= {f"{name}.svg": figure.file(), f"{name}.csv": figure.csv()}
    for owner, table in _tables(report):
        found[f"tables/{_file_name(owner, table.name)}.tex"] = latex_table(table)
    return found


def _figures(report: Report) -> Iterator[tuple[str, Figure]]:
    for other in report.others:
        yield other.owner, other.figure
    for section in report.sections:
        for figure in section.figures:
            yield section.results.name, figure


def _tables(report: Report) -> Iterator[tuple[str, Table]]:
    if report.matrix:
        yield "report", report.matrix
    for section in report.sections:
        for table in section.tables:
            yield section.results.name, table


def _file_name(owner: str, name: str) -> str:
    """Datasets may be paths; a file name keeps their letters and digits."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{owner}-{name}")
