"""What came of a dataset, in a sentence or two."""

from collections.abc import Mapping, Sequence

from experiments.curves import Row
from experiments.metrics import METRICS, Metric
from experiments.qualities import GAINS
from experiments.report.table import detectable_text, difference_text, estimate_text
from experiments.statistics.compare import Verdict

_SHOWS: Mapping[Verdict, str] = {
    "better": "Better than",
    "worse": "Worse than",
    "not distinguishable": "Shows nothing against",
}


def headline(rows: Sequence[Row]) -> str:
    """What the uncompressed cache does for the receiver, and how other caches compare with it.

    Of the first metric that the dataset has. Where that tells nothing apart, it says so, and how large an effect would
    have shown. rows: all of one dataset.
    """
    whole = next(row for row in rows if row.arm.reference)
    metric = next((metric for metric in METRICS if metric.name in whole.estimates and metric.compared), None)
    if metric is None:
        return "No answer through the uncompressed cache."
    told = (_against_the_receiver(whole, metric), _through(whole, metric), _other_caches(rows, whole, metric))
    return " ".join(filter(None, told))


def _against_the_receiver(whole: Row, metric: Metric) -> str:
    found = whole.versus.get("receiver_only", {}).get(metric.name)
    if found is None:
        return ""
    said = difference_text(found, whole.items, share=metric.share)
    return f"{_SHOWS[found.verdict]} receiver_only: {metric.label} {said}."


def _through(whole: Row, metric: Metric) -> str:
    said = [f"{metric.label} {estimate_text(whole.estimates[metric.name], whole.items, share=metric.share)}"]
    said += [
        f"{gain.label} {estimate_text(whole.estimates[gain.name], whole.items, share=True)}"
        for gain in GAINS
        if gain.name in whole.estimates and gain.name != "net_gain_kept"
    ]
    return f"Through the uncompressed cache: {'; '.join(said)}."


def _other_caches(rows: Sequence[Row], whole: Row, metric: Metric) -> str:
    """How many of them differ from it, and what would have shown of those that do not."""
    others = [row for row in rows if row.arm.codec and not row.arm.reference and not row.arm.is_control]
    found = [told for row in others if (told := row.versus.get(whole.arm.name, {}).get(metric.name))]
    if not found:
        return ""
    counts = {verdict: sum(told.verdict == verdict for told in found) for verdict in _SHOWS}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    hidden = max((told.detectable for told in found if told.verdict == "not distinguishable"), default=None)
    if hidden is None:
        return f"Other caches against it: {said}."
    return f"Other caches against it: {said}, where {detectable_text(hidden, share=metric.share)} would have shown."
