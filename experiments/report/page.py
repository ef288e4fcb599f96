"""One HTML page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from experiments.report.figures import Figure
from experiments.report.style import FIGURE, PAGE
from experiments.report.table import Cells
from experiments.results import DatasetResults, Results

_FAILURES_SHOWN = 20

HOW_TO_READ = (
    "Bytes are the kernel's count on the sharer's connection, both directions, per request. Intervals are of 95 %: "
    "Wilson's for right and wrong, else a bootstrap over items, of whole documents where several items are of one. "
    "Arms are compared on the same items; “not distinguishable” means that McNemar's exact p is 0.05 or more, or that "
    "the interval of the difference contains 0. Nothing corrects for the number of comparisons: of twenty equal arms "
    "one will look different. A failed item is wrong and has gained nothing. The sharer reads an item's context once, "
    "for the uncompressed arm; the TTFT of the other cache arms leaves that out."
)


@dataclass(frozen=True)
class Section:
    """One dataset of one recipe."""

    results: Results
    dataset: DatasetResults
    figures: Sequence[Figure]
    cells: Cells


def page(sections: Sequence[Section]) -> str:
    """The whole page."""
    titles = dict.fromkeys(section.results.title for section in sections)
    heading = escape("; ".join(titles))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{heading}</title><style>{PAGE}{FIGURE}</style></head><body><h1>{heading}</h1>"
        f'<p class="note">{escape(HOW_TO_READ)}</p>{"".join(map(_section, sections))}</body></html>\n'
    )


def coverage(dataset: DatasetResults) -> str:
    """How many items the numbers are of."""
    if len(dataset.items) == dataset.planned:
        return f"{dataset.planned} items."
    return f"The run is not finished: {len(dataset.items)} of {dataset.planned} items."


def origin(results: Results) -> str:
    """Which models, code and machine the numbers come from."""
    models, code, machine = (results.run[key] for key in ("models", "code", "machine"))
    sides = ", ".join(
        f"{side} {card['id']} ({card['weight_format']}, {card['compute_dtype']}, weights {card['weights_sha256'][:12]})"
        for side, card in models.items()
    )
    commit = code["commit"] or "no commit"
    fusers = dict.fromkeys(arm.fuser for dataset in results.datasets for arm in dataset.arms if arm.codec)
    return (
        f"Recipe {results.name} ({results.run['recipe']['sha256'][:12]}), {sides}, fuser {', '.join(fusers)}; "
        f"kvwire {code['kvwire']} ({commit}); "
        f"{machine['cpu']}, {machine['cores']} cores; begun {results.run['begun']}.{_clock(machine)}"
    )


def _clock(machine: Mapping[str, Any]) -> str:
    """What to know of the times, if there is something; runs of before there were engines were in one process."""
    if machine.get("engine", "in-process") == "in-process":
        return ""
    return (
        f" Timings were taken in {machine['workers']} actors of Ray, with whatever ran beside them on their machines: "
        "compare them with nothing else."
    )


def _section(section: Section) -> str:
    figures = "".join(
        f'<h3>{escape(figure.title)}</h3><div class="panels">{"".join(figure.panels)}</div>'
        for figure in section.figures
    )
    return (
        f"<section><h2>{escape(section.results.title)}: {escape(section.dataset.name)}</h2>"
        f"<p><strong>{coverage(section.dataset)}</strong></p>{figures}"
        f'<h3>All arms</h3><div class="scroll">{_table(section.cells)}</div>{_failures(section.dataset)}'
        f'<p class="note">{escape(origin(section.results))}</p></section>'
    )


def _table(cells: Cells) -> str:
    head, *body = cells
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    return (
        f"<table><thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _failures(dataset: DatasetResults) -> str:
    failures = [record for lines in dataset.records.values() for record in lines if record["error"]]
    if not failures:
        return ""
    listed = "".join(
        f"<li>{escape(record['arm'])}, item {escape(record['item'])}: {escape(record['error'] or '')}</li>"
        for record in failures[:_FAILURES_SHOWN]
    )
    return f"<h3>{len(failures)} failures, the first {min(len(failures), _FAILURES_SHOWN)}</h3><ul>{listed}</ul>"
