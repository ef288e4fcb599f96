"""The tables of a dataset, the same columns on the page, in Markdown and in LaTeX: one row per arm."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.curves import Row
from experiments.fronts import Front, Place
from experiments.metrics import METRICS, Metric
from experiments.qualities import GAINS
from experiments.report.axis import bytes_text, number_text, share_text
from experiments.statistics.bootstrap import Estimate
from experiments.statistics.compare import Comparison
from experiments.statistics.front import Standing

Cells = list[list[str]]


@dataclass(frozen=True)
class Table:
    """Head and body; ``name`` is its file's. Cells of ``words`` may be long, the last ones most."""

    name: str
    title: str
    cells: Cells
    words: bool = False


def arms_tables(dataset: str, rows: Sequence[Row]) -> list[Table]:
    """What every arm came to and cost; those that only say what others rest on in a table of their own."""
    arms = [row for row in rows if not row.arm.is_control]
    controls = [row for row in rows if row.arm.is_control]
    tables = [Table(f"{dataset}-arms", "All arms", _costs_and_qualities(arms))]
    if controls:
        tables.append(Table(f"{dataset}-controls", "Controls", _costs_and_qualities(controls)))
    return tables


def _costs_and_qualities(rows: Sequence[Row]) -> Cells:
    """Intervals of 95 % in brackets, a dash where there is no number."""
    metrics = [metric for metric in METRICS if any(metric.name in row.estimates for row in rows)]
    gains = [gain for gain in GAINS if any(gain.name in row.estimates for row in rows)]
    head = [
        "arm",
        "items",
        "failed",
        *(metric.label for metric in metrics),
        *(gain.label for gain in gains),
        "bytes per request",
        "payload bits per value",
        "payload bytes per context token",
        "TTFT p50, ms",
    ]
    shares = {metric.name: metric.share for metric in metrics} | {gain.name: gain.share for gain in gains}
    body = [
        [
            row.arm.name,
            str(row.items),
            str(row.failed),
            *(estimate_text(row.estimates.get(name), row.items, share=share) for name, share in shares.items()),
            _number(row.costs.wire_bytes, "{:,.0f}"),
            _number(row.costs.bits_per_value, "{:.2f}"),
            _number(row.costs.payload_bytes_per_token, "{:,.0f}"),
            _number(row.costs.ttft_ms, "{:.0f}"),
        ]
        for row in rows
    ]
    return [head, *body]


def comparisons_table(dataset: str, rows: Sequence[Row]) -> Table:
    """Every arm but controls against the uncompressed cache, the text relay and the receiver alone, paired."""
    rows = [row for row in rows if not row.arm.is_control]
    # An arm is not compared with itself, so the row with the most opponents has them all, in order.
    opponents = max((list(row.versus) for row in rows), key=len)
    found = {metric.name for row in rows for each in row.versus.values() for metric in METRICS if metric.name in each}
    asked = [(other, metric) for other in opponents for metric in METRICS if metric.name in found]
    head = ["arm", *(f"{metric.label}, against {other}" for other, metric in asked)]
    body = [
        [row.arm.name, *(comparison_text(row.versus.get(other, {}).get(m.name), m, row.items) for other, m in asked)]
        for row in rows
    ]
    return Table(f"{dataset}-comparisons", "Compared on the same items", [head, *body])


def front_table(front: Front) -> Table:
    """The fronts of all families that have a part in the front of all, against the others at equal bytes."""
    head = [
        "arm",
        "bytes",
        front.quality.label,
        "on the front",
        "at equal bytes, + is better",
        "decided by",
        "of bytes",
    ]
    leaders = [places for places in front.families.values() if any(place.leading for place in places)]
    body = [_front_cells(front, place) for places in leaders for place in places]
    return Table(f"{front.dataset}-front-{front.quality.name}", f"Front: {front.quality.label}", [head, *body])


def estimate_text(estimate: Estimate | None, items: int, *, share: bool) -> str:
    """The value and its interval, and of how many items, if not of all."""
    if estimate is None:
        return "-"
    text = _percent if share else number_text
    fewer = "" if estimate.items == items else f", of {estimate.items} items"
    return f"{text(estimate.value)} ({text(estimate.low)} to {text(estimate.high)}{fewer})"


def comparison_text(comparison: Comparison | None, metric: Metric, items: int) -> str:
    """The verdict, its numbers, and where there is none, what would have given one."""
    if comparison is None:
        return "-"
    numbers = difference_text(comparison, items, share=metric.share)
    return f"{comparison.verdict}: {numbers}"


def difference_text(comparison: Comparison, items: int, *, share: bool) -> str:
    """The numbers; where they tell nothing apart, also how large a difference so many items would have shown."""
    p = "" if comparison.p is None else f", p {comparison.p:.2g}"
    text = _difference(*comparison[:3], p, share=share)
    if comparison.verdict != "not distinguishable":
        return text
    return f"{text}; {items} items would show {detectable_text(comparison.detectable, share=share)}"


def detectable_text(smallest: float, *, share: bool) -> str:
    """The smallest difference that would have shown."""
    return f"{100 * smallest:.1f} points" if share else number_text(smallest)


def _front_cells(front: Front, place: Place) -> list[str]:
    return [
        place.row.arm.name,
        bytes_text(place.sent),
        estimate_text(place.estimate, place.row.items, share=front.quality.share),
        "yes" if place.leading else "",
        _standing(front, place.standing),
        *((place.other[0].arm.name, bytes_text(place.other[1])) if place.other else ("-", "-")),
    ]


def _standing(front: Front, standing: Standing | None) -> str:
    if standing is None:
        return "-"
    return f"{standing.side}: {_difference(*standing[1:4], share=front.quality.share)}"


def _difference(value: float, low: float, high: float, p: str = "", *, share: bool) -> str:
    """A difference and its interval, of shares in percentage points."""
    if share:
        return f"{100 * value:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}{p})"
    return f"{value:+.3g} ({low:+.3g} to {high:+.3g}{p})"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _percent(value: float) -> str:
    return share_text(round(value, 3))
