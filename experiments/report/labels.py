"""Words beside what they name, so that nobody has to look them up in a legend.

Widths are guessed from the number of letters: a file that is drawn elsewhere has another font anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from experiments.report.axis import Axis
from experiments.report.panel import BOTTOM, HEIGHT, TOP, WIDTH, Level, Point, Series

_LETTER = 6.4  # pixels of a letter of 11 px, in a wide font
_LINE = 13  # and the height of a line
_MARK = 5  # from the middle of a mark to its edge


#: A word and the point it is for.
Named = tuple[str, Point]


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def around(
    named: Sequence[Named], extra: Sequence[Named], levels: Sequence[Level], marks: Sequence[Point], x: Axis, y: Axis
) -> list[str]:
    """Names of points and levels, each where it covers no other name and the fewest marks, or nowhere.

    named: the most important first. extra: more, where they cover no mark either. marks: all that are drawn.
    """
    points = [(x.at(mark.x), y.at(mark.y)) for mark in marks]
    crowd = [_Box(px - _MARK, py - _MARK, px + _MARK, py + _MARK) for px, py in points]
    placed: list[_Box] = []
    drawn: list[str] = []
    most = len(marks)
    wanted = [(level.name, _along(level.name, x, y.at(level.value)), most) for level in levels if level.value >= y.low]
    wanted += [(name, _beside(name, x.at(p.x), y.at(p.y)), most) for name, p in named if p.y >= y.low]
    wanted += [(name, _beside(name, x.at(point.x), y.at(point.y)), 0) for name, point in extra]
    for name, boxes, allowed in wanted:
        free = [box for box in boxes if _inside(box, x) and not any(box.meets(other) for other in placed)]
        covered = {box: sum(box.meets(mark) for mark in crowd) for box in free}
        best = min(free, key=covered.__getitem__, default=None)
        if best and covered[best] <= allowed:
            placed.append(best)
            drawn.append(_text(name, best.left, best.bottom - 3))
    return drawn


def at_ends(series: Sequence[Series], x: Axis, y: Axis) -> list[str]:
    """The name of each curve behind its last point, cut where the panel ends, moved apart where names meet."""
    ends = sorted((y.at(each.points[-1].y), x.at(each.points[-1].x), each.name) for each in series if each.points)
    drawn = []
    for (at, end, name), shown in zip(ends, _apart([at for at, _, _ in ends]), strict=True):
        drawn.append(f'<path class="lead" d="M{end + _MARK:.1f},{at:.1f}L{end + 14:.1f},{shown:.1f}"/>')
        letters = int((WIDTH - end - 16) / _LETTER)
        drawn.append(_text(name if len(name) <= letters else f"{name[: letters - 1]}…", end + 16, shown + 4))
    return drawn


def _beside(name: str, x: float, y: float) -> list[_Box]:
    """Right, left, above and below of a mark, then its corners."""
    width, half, gap = _LETTER * len(name), _LINE / 2, _MARK + 2
    middles = [(gap, 0.0), (-gap - width, 0.0), (-width / 2, -gap - half), (-width / 2, gap + half)]
    middles += [(gap, -half - 2), (gap, half + 2), (-gap - width, -half - 2), (-gap - width, half + 2)]
    middles += [(gap, -_LINE - 4.0), (gap, _LINE + 4.0), (-gap - width, -_LINE - 4.0), (-gap - width, _LINE + 4.0)]
    return [_Box(x + dx, y + dy - half, x + dx + width, y + dy + half) for dx, dy in middles]


def _along(name: str, x: Axis, y: float) -> list[_Box]:
    """Above and below a line, from its left end to its right."""
    width = _LETTER * len(name)
    room = x.end - x.start - width - 8
    lefts = [x.start + 4 + room * step / 6 for step in range(7)]
    return [_Box(left, top, left + width, top + _LINE) for top in (y - _LINE - 1, y + 1) for left in lefts]


def _inside(box: _Box, x: Axis) -> bool:
    return box.left >= x.start + 1 and box.right <= x.end + 8 and box.top >= TOP - 6 and box.bottom <= HEIGHT - BOTTOM


def _apart(places: Sequence[float]) -> list[float]:
    """Rising places with room for a line each: pushed down, and back up where they leave the panel."""
    moved: list[float] = []
    for at in places:
        moved.append(max(at, moved[-1] + _LINE) if moved else at)
    floor = float(HEIGHT - BOTTOM)
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], floor)
        floor = moved[index] - _LINE
    return moved


def _text(words: str, x: float, y: float) -> str:
    return f'<text class="small tag" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
