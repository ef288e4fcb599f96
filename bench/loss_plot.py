"""A training's losses, drawn: the mean of every so many steps, and how sure that mean is."""

from collections.abc import Sequence
from statistics import fmean, stdev

from experiments.report.axis import axis_for, number_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend

#: About so many points on the curve.
_POINTS = 30
_NORMAL_95 = 1.96


def plot(title: str, loss: str, losses: Sequence[float]) -> str:
    """One standalone SVG; ``losses`` by step, nats; ``loss``: what they are, in a word."""
    block = max(2, len(losses) // _POINTS)
    points = tuple(_point(losses[at : at + block], at) for at in range(0, len(losses) - block + 1, block))
    x = axis_for((point.x for point in points), LEFT, WIDTH - RIGHT, log=False, text=number_text)
    y = axis_for((end for p in points for end in (p.low, p.high)), HEIGHT - BOTTOM, TOP, log=False, text=number_text)
    panel = Panel(title, (Series("training", 0, points),), (), ())
    drawn = draw(panel, x, y, f"{loss}, nats per token", "step")
    note = f"means of {block} steps; bars: 95 % intervals of the mean"
    return Figure("fuser-losses", "Losses of a training", (drawn, legend(panel, y, note))).file()


def _point(block: Sequence[float], first: int) -> Point:
    mean, half = fmean(block), _NORMAL_95 * stdev(block) / len(block) ** 0.5
    return Point(first + len(block) / 2, mean, mean - half, mean + half, f"from step {first}: {number_text(mean)}")
