"""What the figures of services that are no curves are made of."""

from collections.abc import Sequence
from html import escape

from experiments.report.axis import Axis
from experiments.report.style import FIGURE


def standalone(width: float, height: float, parts: Sequence[str]) -> str:
    """One SVG by itself, so many pixels wide and high."""
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" {size}><style>{FIGURE}</style>'
    return f"{head}{''.join(parts)}</svg>\n"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Words at a place."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def time_grid(x: Axis, top: float, bottom: float, above: float) -> list[str]:
    """A line for each tick of a time axis, and its milliseconds so far above the top."""
    parts = []
    for tick in x.ticks():
        parts.append(f'<path class="grid" d="M{x.at(tick):.1f},{top - 4}V{bottom}"/>')
        parts.append(text(x.at(tick), top - above, x.text(tick), "small", "middle"))
    return parts
