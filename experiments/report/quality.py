"""Quality against bytes: a point with its interval per arm, the Pareto front, and what holds at equal bytes."""

from collections.abc import Sequence

from experiments.curves import Row
from experiments.fronts import Front, Place, bytes_of
from experiments.qualities import Quality
from experiments.report.axis import bytes_text, share_text, text_of
from experiments.report.cloud import LEVELS, Cloud, Spot, draw_cloud, key, styles
from experiments.report.figures import Figure
from experiments.report.panel import Level, Point

_GOAL = 0.9  # of the uncompressed cache's net gain: what a codec may cost, by the goal it is measured against
#: How far below nothing gained an axis goes; arms that do harm would squeeze all others together.
_LOWEST_GAIN = -0.3


def quality_figure(front: Front, rows: Sequence[Row]) -> Figure:
    """One quality of one dataset; ``rows`` are all of that dataset."""
    quality = front.quality
    own = [row for row in rows if not row.arm.is_control and quality.name in row.estimates]
    spots = [spot for row in own if (spot := _spot(row, quality))]
    cloud = Cloud(
        title=quality.label,
        better=quality.better,
        x_label="payload bytes per token of the context" if quality.per_token else "bytes per request",
        text=text_of(share=quality.share),
        log=quality.log,
        lowest=_LOWEST_GAIN if quality.name in ("gain_retained", "net_gain") else float("-inf"),
    )
    levels = _uncompressed(quality, own) if quality.per_token else _receiver(quality, own)
    drawn = draw_cloud(cloud, spots, levels, [place.row for place in front.leading], styles(rows))
    return Figure(
        name=f"{front.dataset}-{quality.name}",
        title=_headline(front),
        panels=(drawn.svg,),
        key=key(rows, with_front=True),
        note=_standings(front) + drawn.unseen,
        shown=(drawn.panel,),
    )


def _headline(front: Front) -> str:
    families = list(dict.fromkeys(place.row.arm.family for place in front.leading))
    label = front.quality.heading
    if len(families) == 1:
        return f"{label}: {families[0]} holds the whole front"
    return f"{label}: the front is {', '.join(families[:-1])} and {families[-1]}, cheapest first"


def _standings(front: Front) -> str:
    """Which families are above all others, of those on the front."""
    held = [
        f"{name} (at {above} of the {len(places)} arms on its own front)"
        for name, places in front.families.items()
        if (above := sum(_is_above(place) for place in places))
    ]
    return f"Above every other at equal bytes, paired: {', '.join(held) or 'nobody for sure'}."


def _is_above(place: Place) -> bool:
    return place.standing is not None and place.standing.side == "above"


def _spot(row: Row, quality: Quality) -> Spot | None:
    sent = bytes_of(row, quality)
    if not sent:
        return None
    value, low, high = row.estimates[quality.name][:3]
    text = text_of(share=quality.share)
    label = f"{row.arm.name}: {text(value)} ({text(low)} to {text(high)}), {bytes_text(sent)}"
    return row, Point(sent, value, low, high, label)


def _receiver(quality: Quality, rows: Sequence[Row]) -> tuple[Level, ...]:
    """The receiver by itself, without and with the context."""
    return tuple(
        Level(row.arm.name, LEVELS[row.arm.name], *row.estimates[quality.name][:3])
        for row in rows
        if row.arm.name in LEVELS
    )


def _uncompressed(quality: Quality, rows: Sequence[Row]) -> tuple[Level, ...]:
    """The uncompressed cache, and the goal below it."""
    found = next((row.estimates[quality.name] for row in rows if row.arm.reference), None)
    if found is None:
        return ()
    goal = _GOAL * found.value
    return Level("uncompressed", "a", *found[:3]), Level(f"{share_text(_GOAL)} of it", "b", goal, goal, goal)
