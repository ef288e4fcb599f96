"""The table of a dataset: one row per arm, the same columns on the page and in Markdown."""

from collections.abc import Sequence

from experiments.curves import Row
from experiments.metrics import METRICS, Metric
from experiments.report.axis import number_text, share_text
from experiments.statistics.bootstrap import Estimate
from experiments.statistics.compare import Comparison

Cells = list[list[str]]


def table(rows: Sequence[Row]) -> Cells:
    """Head and body; intervals of 95 % in brackets, a dash where there is no number."""
    metrics = [metric for metric in METRICS if any(metric.name in row.estimates for row in rows)]
    gains = [name for name in _GAINS if any(name in row.estimates for row in rows)]
    # An arm is not compared with itself, so the row with the most opponents has them all, in order.
    opponents = [other for other in max((row.versus for row in rows), key=len) if other != "receiver_only"]
    compared = [metric for metric in metrics if metric.compared]
    head = [
        "arm",
        "items",
        "failed",
        *(metric.label for metric in metrics),
        *(_GAINS[name] for name in gains),
        "bytes per request",
        "payload bits per value",
        "payload bytes per context token",
        "TTFT p50, ms",
        *(f"{metric.label}, against {other}" for other in opponents for metric in compared),
    ]
    return [head, *(_cells(row, metrics, gains, opponents) for row in rows)]


_GAINS = {
    "gap_closed": "accuracy gap closed",
    "gain_retained": "context gain retained",
    "net_gain": "net context gain",
    "net_gain_kept": "net gain kept of the uncompressed cache's",
}


def _cells(row: Row, metrics: Sequence[Metric], gains: Sequence[str], opponents: Sequence[str]) -> list[str]:
    costs = row.costs
    return [
        row.arm.name,
        str(row.items),
        str(row.failed),
        *(_estimate(row.estimates.get(metric.name), row.items, share=metric.share) for metric in metrics),
        *(_estimate(row.estimates.get(name), row.items, share=True) for name in gains),
        _number(costs.wire_bytes, "{:,.0f}"),
        _number(costs.bits_per_value, "{:.2f}"),
        _number(costs.payload_bytes_per_token, "{:,.0f}"),
        _number(costs.ttft_ms, "{:.0f}"),
        *(
            _comparison(row.versus.get(other, {}).get(metric.name), share=metric.share)
            for other in opponents
            for metric in metrics
            if metric.compared
        ),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _estimate(estimate: Estimate | None, items: int, *, share: bool) -> str:
    if estimate is None:
        return "-"
    text = _percent if share else number_text
    fewer = "" if estimate.items == items else f", of {estimate.items} items"
    return f"{text(estimate.value)} ({text(estimate.low)} to {text(estimate.high)}{fewer})"


def _comparison(comparison: Comparison | None, *, share: bool) -> str:
    if comparison is None:
        return "-"
    scale, form = (100, "{:+.1f}") if share else (1, "{:+.3g}")
    value, low, high = (form.format(scale * number) for number in comparison[:3])
    p = "" if comparison.p is None else f", p {comparison.p:.2g}"
    return f"{comparison.verdict}: {value} ({low} to {high}{p})"


def _percent(value: float) -> str:
    return share_text(round(value, 3))
