"""The report of a folder of results: one page, and its figures and tables as files of their own.

May import: ``experiments``. A new kind of file is one file here and one line in :func:`write_report`.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.curves import rows_of
from experiments.report.csv_file import csv_text
from experiments.report.figures import figures
from experiments.report.markdown import markdown_table
from experiments.report.page import HOW_TO_READ, Section, coverage, origin, page
from experiments.report.table import table
from experiments.results import find_results
from kvwire.errors import InvalidRequestError

__all__ = ["write_report"]


def write_report(folder: Path) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``report.csv`` and an SVG per figure into the folder; return their paths.

    Raises:
        NotFoundError: The folder holds no results.
        InvalidRequestError: They cannot be read, or no item is finished yet.
    """
    found = [(results, rows_of(results)) for results in find_results(folder)]
    sections = [
        Section(results, dataset, figures(dataset.name, own), table(own))
        for results, rows in found
        for dataset in results.datasets
        if (own := [row for row in rows if row.dataset == dataset.name])
    ]
    if not sections:
        raise InvalidRequestError(f"no item in {folder} is finished yet; run the experiment a little longer")
    texts = {
        "report.html": page(sections),
        "report.md": "\n".join(_markdown(sections)),
        "report.csv": csv_text([(results.name, row) for results, rows in found for row in rows]),
        **{
            f"{_file_name(section.results.name, figure.name)}.svg": figure.file()
            for section in sections
            for figure in section.figures
        },
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _markdown(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        yield f"## {section.results.title}: {section.dataset.name}\n"
        yield f"{coverage(section.dataset)} {origin(section.results)}\n"
        yield markdown_table(section.cells)
    yield f"{HOW_TO_READ}\n"


def _file_name(recipe: str, figure: str) -> str:
    """Datasets may be paths; a file name keeps their letters and digits."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{recipe}-{figure}")
