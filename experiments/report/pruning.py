"""Quality against the share of tokens kept: a panel per codec, a curve per selector and scope."""

from collections.abc import Sequence

from experiments.curves import Row
from experiments.qualities import SHOWN, Quality
from experiments.report.axis import Axis, axis_for, share_text, text_of
from experiments.report.figures import Figure
from experiments.report.labels import at_ends
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Panel, Point, Series, draw

_NAMES = 92  # pixels right of the curves, for their names
#: The sharpest first: a likelihood tells arms apart that a count of right answers cannot. A net gain is not of them: of
#: an arm that does harm with any context it still says how much more with another one.
_SHARPEST = ("gain_retained", "kl_nats", "f1", "accuracy")


def pruning_figures(dataset: str, rows: Sequence[Row]) -> list[Figure]:
    """One, of the sharpest quality the dataset has; none where nothing is pruned."""
    own = [row for row in rows if row.arm.codec and not row.arm.is_control]
    pruned = [row for row in own if row.arm.keep < 1]
    found = [q for name in _SHARPEST for q in SHOWN if q.name == name and any(name in r.estimates for r in pruned)]
    if not found:
        return []
    quality = found[0]
    panels = [_panel(codec, own, quality) for codec in dict.fromkeys(row.arm.codec for row in pruned)]
    points = [point for panel in panels for series in panel.series for point in series.points]
    x = axis_for([1.0, *(point.x for point in points)], WIDTH - _NAMES, LEFT, log=True, text=share_text)
    text = text_of(share=quality.share)
    y = axis_for([e for p in points for e in (p.low, p.high)], HEIGHT - BOTTOM, TOP, log=quality.log, text=text)
    drawn = tuple(_drawn(panel, x, y, quality) for panel in panels)
    note = f"{quality.heading}; bars are 95 % intervals."
    return [Figure(f"{dataset}-keep", _headline(pruned, quality), drawn, note=note, shown=panels)]


def _headline(pruned: Sequence[Row], quality: Quality) -> str:
    """Who keeps most, if it is one selector wherever there is a choice."""
    sign = 1 if quality.higher_is_better else -1
    best: dict[tuple[str, float], tuple[float, str]] = {}
    for row in pruned:
        if estimate := row.estimates.get(quality.name):
            place = (row.arm.codec, row.arm.keep)
            best[place] = max(best.get(place, (float("-inf"), "")), (sign * estimate.value, _way(row, pruned)))
    winners = {way for _, way in best.values()}
    if len(winners) == 1:
        return f"Dropping tokens: {winners.pop()} keeps most at every ratio"
    return f"Dropping tokens: which selector keeps most changes with ratio and codec ({', '.join(sorted(winners))})"


def _panel(codec: str, rows: Sequence[Row], quality: Quality) -> Panel:
    own = [row for row in rows if row.arm.codec == codec and not row.arm.curve and quality.name in row.estimates]
    ways = dict.fromkeys(_way(row, rows) for row in own if row.arm.keep < 1)
    whole = [row for row in own if row.arm.keep == 1]
    return Panel(
        title=f"{codec}, {quality.label}",
        series=tuple(
            Series(way, style, _points([*whole, *(r for r in own if r.arm.keep < 1 and _way(r, rows) == way)], quality))
            for style, way in enumerate(ways)
        ),
        singles=(),
        levels=(),
    )


def _way(row: Row, rows: Sequence[Row]) -> str:
    """How tokens were chosen; the scope only where there are two."""
    scopes = {each.arm.scope for each in rows if each.arm.keep < 1}
    return f"{row.arm.selector} per {row.arm.scope}" if len(scopes) > 1 else row.arm.selector


def _points(rows: Sequence[Row], quality: Quality) -> tuple[Point, ...]:
    text = text_of(share=quality.share)
    found = []
    for row in sorted(rows, key=lambda row: -row.arm.keep):
        value, low, high = row.estimates[quality.name][:3]
        found.append(
            Point(row.arm.keep, value, low, high, f"{row.arm.name}: {text(value)} ({text(low)} to {text(high)})")
        )
    return tuple(found)


def _drawn(panel: Panel, x: Axis, y: Axis, quality: Quality) -> str:
    return draw(panel, x, y, quality.better, "share of the tokens kept", at_ends(panel.series, x, y))
