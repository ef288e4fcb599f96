"""A figure: panels that share their axes, as pictures and as the numbers they show."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.report.panel import HEIGHT, WIDTH, Panel
from experiments.report.style import FIGURE


@dataclass(frozen=True)
class Figure:
    """Panels of one kind, each an ``<svg>``, and the ``key`` to their marks, which several figures may share.

    ``title`` says what is to be seen, ``note`` how it is to be read; ``shown`` are the panels' numbers.
    """

    name: str
    title: str
    panels: tuple[str, ...]
    key: str = ""
    note: str = ""
    shown: Sequence[Panel] = ()

    def file(self) -> str:
        """All panels in one standalone SVG, two beside one another."""
        panels = (*self.panels, self.key) if self.key else self.panels
        rows = -(-len(panels) // 2)
        placed = "".join(
            panel.replace(
                "<svg ", f'<svg x="{index % 2 * WIDTH}" y="{index // 2 * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ', 1
            )
            for index, panel in enumerate(panels)
        )
        size = f'width="{2 * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {2 * WIDTH} {rows * HEIGHT}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{FIGURE}</style>{placed}</svg>\n'

    def csv(self) -> str:
        """Every point and level that is drawn: a line each. A level has no ``x``."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(("panel", "kind", "name", "x", "y", "low", "high", "label"))
        writer.writerows(line for panel in self.shown for line in _lines(panel))
        return written.getvalue()


def _lines(panel: Panel) -> Iterator[tuple[str | float, ...]]:
    for series in (*panel.series, *panel.singles):
        for point in series.points:
            yield panel.title, "point", series.name, point.x, point.y, point.low, point.high, point.label
    for point in panel.front:
        yield panel.title, "front", "", point.x, point.y, point.low, point.high, point.label
    for level in panel.levels:
        yield panel.title, "level", level.name, "", level.value, level.low, level.high, ""
