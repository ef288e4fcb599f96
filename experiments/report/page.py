"""One HTML page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from experiments.report.figures import Figure
from experiments.report.style import FIGURE, PAGE
from experiments.report.table import Table
from experiments.results import DatasetResults, Results

_FAILURES_SHOWN = 20

HOW_TO_READ = (
    "Bytes are the kernel's count on the sharer's connection, both directions, per request. Intervals are of 95 %: "
    "Wilson's for right and wrong, else a bootstrap over items, of whole documents where several items are of one. "
    "Arms are compared on the same items; “not distinguishable” means that McNemar's exact p is 0.05 or more, or that "
    "the interval of the difference contains 0; then it is said how large a difference so many items would have "
    "shown, in 80 of 100 runs. Nothing corrects for the number of comparisons: of twenty equal arms one will look "
    "different. A failed item is wrong and has gained nothing. The sharer reads an item's context once, for the "
    "uncompressed arm; the TTFT of the other cache arms leaves that out."
)
FRONTS = (
    "An arm is on the front if no other that sends a cache has as few bytes and as much quality, and one of them "
    "better. A family is one base codec at any rate, pruned in any way. “Above” at equal bytes: better than every arm "
    "of other families that has no more bytes, and than the cheapest that has at least as many, which is the "
    "conservative choice. “Between”: above the former, below the latter. “Below”: worse than one that has no more "
    "bytes. Each by the interval of the difference on the same items."
)


@dataclass(frozen=True)
class Section:
    """One dataset of one recipe; ``headline`` says in a sentence what came of it."""

    results: Results
    dataset: DatasetResults
    headline: str
    figures: Sequence[Figure]
    tables: Sequence[Table]


@dataclass(frozen=True)
class Other:
    """A figure of all that ``owner`` names, a recipe or a model."""

    owner: str
    heading: str
    figure: Figure


@dataclass(frozen=True)
class Report:
    """All that is reported; ``others`` are figures of no one dataset."""

    sections: Sequence[Section]
    others: Sequence[Other]
    matrix: Table | None


def page(report: Report) -> str:
    """The whole page."""
    titles = list(dict.fromkeys(section.results.title for section in report.sections))
    heading = escape(titles[0] if len(titles) == 1 else f"{len(titles)} experiments")
    parts = [
        *([(report.matrix.title, _table(report.matrix))] if report.matrix else []),
        *((f"{section.results.title}: {section.dataset.name}", _section(section)) for section in report.sections),
        *((other.heading, _panels([other.figure])) for other in report.others),
        ("How to read this", f'<p class="note">{escape(HOW_TO_READ)}</p><p class="note">{escape(FRONTS)}</p>'),
    ]
    links = "".join(f'<li><a href="#{place}">{escape(title)}</a></li>' for place, (title, _) in enumerate(parts))
    sections = "".join(
        f'<section id="{place}"><h2>{escape(title)}</h2>{body}</section>' for place, (title, body) in enumerate(parts)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{heading}</title><style>{PAGE}{FIGURE}</style></head><body><h1>{heading}</h1>"
        f"<nav><ul>{links}</ul></nav>{sections}</body></html>\n"
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
    arms, *others = section.tables
    folded = "".join(f"<details><summary>{escape(t.title)}</summary>{_table(t)}</details>" for t in others)
    return (
        f"<p><strong>{coverage(section.dataset)}</strong> {escape(section.headline)}</p>{_panels(section.figures)}"
        f"<h3>{escape(arms.title)}</h3>{_table(arms)}{folded}{_failures(section.dataset)}"
        f'<p class="note">{escape(origin(section.results))}</p>'
    )


def _panels(figures: Sequence[Figure]) -> str:
    """Figures of one panel side by side, with the key they share; those of several in a row of their own."""
    single = [figure for figure in figures if len(figure.panels) == 1]
    key = next((figure.key for figure in single if figure.key), "")
    together = "".join(f"<figure>{_caption(figure)}{figure.panels[0]}</figure>" for figure in single)
    several = "".join(
        f'<figure>{_caption(figure)}<div class="panels">{"".join(figure.panels)}</div></figure>'
        for figure in figures
        if len(figure.panels) > 1
    )
    return f'<div class="panels">{together}{f"<figure>{key}</figure>" if key else ""}</div>{several}'


def _caption(figure: Figure) -> str:
    return f"<figcaption><strong>{escape(figure.title)}</strong> <span>{escape(figure.note)}</span></figcaption>"


def _table(table: Table) -> str:
    head, *body = table.cells
    names = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    look = "scroll words" if table.words else "scroll"
    return f'<div class="{look}"><table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>'


def _failures(dataset: DatasetResults) -> str:
    failures = [record for lines in dataset.records.values() for record in lines if record["error"]]
    if not failures:
        return ""
    listed = "".join(
        f"<li>{escape(record['arm'])}, item {escape(record['item'])}: {escape(record['error'] or '')}</li>"
        for record in failures[:_FAILURES_SHOWN]
    )
    return f"<h3>{len(failures)} failures, the first {min(len(failures), _FAILURES_SHOWN)}</h3><ul>{listed}</ul>"
