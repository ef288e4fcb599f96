"""KL against bits per value, a panel per model and length, with the slope that no scalar step size can beat.

KL goes with the energy of the error, and a bit halves a Gaussian's error: 6.02 dB per bit, 4 ** -bits. The line is laid
under the points, through the one nearest to it.
"""

from collections.abc import Sequence

from bench.row import Row, name_of
from codec.spec import CodecSpec, RopePhase
from experiments.report.axis import Axis, axis_for, number_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend

#: What takes more is no codec's competitor and would squeeze the others together.
_MOST_BITS = 9.0
#: More would leave their panel.
_LEGEND_ROWS = 11
_LABELS = ("KL(uncompressed || coded), nats per token", "bits per value, every byte counted")


def plot(rows: Sequence[Row]) -> str:
    """One standalone SVG; rows of no divergence at all, and those above 9 bits, are not in it."""
    shown = [row for row in rows if row.bits_per_value <= _MOST_BITS and row.kl > 0]
    names = {name: style for style, name in enumerate(dict.fromkeys(map(_curve, shown)))}
    x = axis_for([row.bits_per_value for row in shown], LEFT, WIDTH - RIGHT, log=False, text=number_text)
    y = axis_for([end for row in shown for end in row.kl_ci95], HEIGHT - BOTTOM, TOP, log=True, text=number_text)
    places = dict.fromkeys((row.model, row.tokens) for row in shown)
    drawn = [_drawn([row for row in shown if (row.model, row.tokens) == place], names, x, y) for place in places]
    marks = [Series(name, style, ()) for name, style in names.items()]
    parts = [tuple(marks[at : at + _LEGEND_ROWS]) for at in range(0, len(marks), _LEGEND_ROWS)] or [()]
    return Figure(
        "codec-bench", "KL against bits", (*drawn, *(legend(Panel("", part, (), ()), y) for part in parts))
    ).file()


def _drawn(rows: Sequence[Row], names: dict[str, int], x: Axis, y: Axis) -> str:
    series = tuple(Series(name, style, _points(rows, name)) for name, style in names.items() if _points(rows, name))
    panel = draw(Panel(f"{rows[0].model}, {rows[0].tokens} tokens", series, (), ()), x, y, *_LABELS)
    return panel.removesuffix("</svg>") + _slope(rows, x, y) + "</svg>"


def _slope(rows: Sequence[Row], x: Axis, y: Axis) -> str:
    """4 ** -bits from side to side, cut off where it leaves the panel."""
    least = min(row.kl * 4**row.bits_per_value for row in rows)
    steps = [x.low + (x.high - x.low) * step / 200 for step in range(201)]
    inside = [(bits, kl) for bits in steps if y.low <= (kl := least * 4**-bits) <= y.high]
    joined = "L".join(f"{x.at(bits):.1f},{y.at(kl):.1f}" for bits, kl in inside)
    end = inside[-1]
    text = f'<text class="small" text-anchor="end" x="{x.at(end[0]) - 8:.1f}" y="{y.at(end[1]):.1f}">6.02 dB/bit</text>'
    return f'<path class="level" d="M{joined}"/>{text}'


def _points(rows: Sequence[Row], name: str) -> tuple[Point, ...]:
    own = sorted((row for row in rows if _curve(row) == name), key=lambda row: row.bits_per_value)
    return tuple(Point(row.bits_per_value, row.kl, *row.kl_ci95, _label(row)) for row in own)


def _label(row: Row) -> str:
    low, high = row.kl_ci95
    return f"{name_of(row)}: KL {row.kl:.4f} ({low:.4f} to {high:.4f}), {row.bits_per_value:.2f} bits"


def _curve(row: Row) -> str:
    """Which codecs are joined: those of one base, keys before or after RoPE; a peer's of one name."""
    name = name_of(row)
    if name.peer:
        kind, found, _ = name.codec.partition(":")
        return f"{name.peer} {kind}" if found else name.peer
    spec = CodecSpec.parse(row.codec)
    return f"{spec.base.name}, keys before RoPE" if spec.rope is RopePhase.PRE else spec.base.name
