"""Every arm of a dataset as one point over its bytes: coloured by family, hollow where tokens were dropped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.arms import Arm
from experiments.curves import Row
from experiments.report.axis import Axis, axis_for, bytes_text, number_text
from experiments.report.labels import Named, around
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Level, Panel, Point, Series, draw, legend

#: Baselines that send no bytes, and the CSS class of their line.
LEVELS = {"receiver_only": "b", "receiver_reads": "a", "sharer_only": "c"}
_SINGLES = {"text": 6, "verbatim": 3, "text_question": 2, "text_options": 4}  # star, diamond and triangles


@dataclass(frozen=True)
class Cloud:
    """How a panel of points reads: ``better`` says which way is up, no axis goes below ``lowest``."""

    title: str
    better: str
    x_label: str
    text: Callable[[float], str]
    log: bool = False
    lowest: float = float("-inf")


#: An arm and where it stands.
Spot = tuple[Row, Point]


@dataclass(frozen=True)
class Drawn:
    """A cloud's panel, drawn and as numbers, and what cannot be seen in it, in words."""

    svg: str
    panel: Panel
    unseen: str


def draw_cloud(
    cloud: Cloud, spots: Sequence[Spot], levels: Sequence[Level], front: Sequence[Row], looks: Mapping[str, int]
) -> Drawn:
    """One panel; ``front``: the arms on it, ``looks``: of each family, from :func:`styles`."""
    caches = [(row, point) for row, point in spots if row.arm.codec]
    panel = Panel(
        title=cloud.title,
        series=tuple(_families(caches, looks)),
        singles=tuple(_single(row, point) for row, point in spots if row.arm.name in _SINGLES),
        levels=tuple(levels),
        front=tuple(sorted((point for row, point in caches if row in front), key=lambda point: point.x)),
    )
    x = axis_for([point.x for _, point in spots], LEFT, WIDTH - RIGHT, log=True, text=bytes_text)
    y = axis_for(_heights(cloud, caches, spots, levels), HEIGHT - BOTTOM, TOP, log=cloud.log, text=cloud.text)
    words = around(*_names(spots, front), levels, [point for _, point in spots], x, y)
    return Drawn(draw(panel, x, y, cloud.better, cloud.x_label, words), panel, _unseen(spots, levels, y))


def key(rows: Sequence[Row], *, with_front: bool) -> str:
    """What colours and marks mean, for every cloud of a dataset."""
    families = tuple(Series(name, style, ()) for name, style in styles(rows).items())
    hollow = (Series("hollow: some tokens dropped", 0, (), hollow=True),) if any(r.arm.keep < 1 for r in rows) else ()
    steps = (Point(0, 0, 0, 0, ""),) if with_front else ()
    panel, y = Panel("", (*families, *hollow), (), (), steps), axis_for([0, 1], 0, 1, log=False, text=number_text)
    return legend(panel, y, "bars and bands: 95 % intervals; of times, all there were")


def styles(rows: Sequence[Row]) -> dict[str, int]:
    """Each family's colour and mark, by its place in the recipe."""
    return {name: style for style, name in enumerate(dict.fromkeys(row.arm.family for row in rows if row.arm.codec))}


def short_name(arm: Arm) -> str:
    """The arm without its method: ``int8 25 % front``."""
    if arm.curve:
        return arm.name.removeprefix(f"{arm.method.value} ")
    if arm.keep == 1:
        return arm.codec or arm.name
    scope = "" if arm.scope == "layer" else f" per {arm.scope}"
    return f"{arm.codec} {100 * arm.keep:g} % {arm.selector}{scope}"


def _families(caches: Sequence[Spot], looks: Mapping[str, int]) -> list[Series]:
    """Pruned arms first, so that the unpruned lie on top."""
    found = []
    for hollow in (True, False):
        for name, style in looks.items():
            points = tuple(p for row, p in caches if row.arm.family == name and (row.arm.keep < 1) == hollow)
            if points:
                found.append(Series(f"{name}, pruned" if hollow else name, style, points, joined=False, hollow=hollow))
    return found


def _single(row: Row, point: Point) -> Series:
    return Series(row.arm.name, _SINGLES[row.arm.name], (point,), joined=False)


def _unseen(spots: Sequence[Spot], levels: Sequence[Level], y: Axis) -> str:
    edge = sum(point.y < y.low for row, point in spots if row.arm.codec)
    gone = [row.arm.name for row, point in spots if not row.arm.codec and point.y < y.low]
    gone += [level.name for level in levels if level.value < y.low]
    below = f" Below the axis: {', '.join(gone)}." if gone else ""
    return f"{below} {edge} arms below the axis are drawn at its edge." if edge else below


def _names(spots: Sequence[Spot], front: Sequence[Row]) -> tuple[list[Named], list[Named]]:
    """What is named: baselines, unpruned caches, those on the front first; and its pruned ones, if there is room."""
    unpruned = [(row, point) for row, point in spots if row.arm.keep == 1]
    unpruned.sort(key=lambda spot: (bool(spot[0].arm.codec), spot[0] not in front))
    pruned = [(row, point) for row, point in spots if row.arm.keep < 1 and row in front]
    first, more = ([(short_name(row.arm), point) for row, point in each] for each in (unpruned, pruned))
    return first, more


def _heights(cloud: Cloud, caches: Sequence[Spot], spots: Sequence[Spot], levels: Sequence[Level]) -> list[float]:
    """What the axis has to reach.

    A distance of nearly nothing, as of a verbatim relay, must not stretch a logarithmic axis over ten decades.
    """
    own = [end for _, point in caches for end in (point.low, point.high)]
    floor = min(own, default=0.0) if cloud.log else cloud.lowest
    around_them = [(point.low, point.high) for row, point in spots if not row.arm.codec]
    around_them += [(level.low, level.high) for level in levels]
    own += [end for ends in around_them for end in ends if ends[0] >= floor]
    return [max(end, cloud.lowest) for end in own]
