"""Bytes against the length of the context, where a run has contexts of several lengths."""

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

import numpy as np

from experiments.arms import Arm
from experiments.report.axis import axis_for, bytes_text, number_text
from experiments.report.cloud import short_name
from experiments.report.figures import Figure
from experiments.report.labels import at_ends
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Panel, Point, Series, draw
from experiments.results import Results

_NAMES = 112  # pixels right of the curves, for their names
_SEVERAL = 1.5  # the longest to the shortest, from which on lengths are several


def length_figures(results: Results) -> list[Figure]:
    """One, of all arms that keep all tokens; none where contexts are of about one length."""
    series: list[Series] = []
    for arm in dict.fromkeys(arm for dataset in results.datasets for arm in dataset.arms if _is_whole(arm)):
        points = _points(arm, _sizes(results, arm))
        if points and points[-1].x >= _SEVERAL * points[0].x:
            series.append(Series(short_name(arm), len(series), points))
    if not series:
        return []
    panel = Panel("payload bytes", tuple(series), (), ())
    every = [point for each in series for point in each.points]
    x = axis_for([p.x for p in every], LEFT, WIDTH - _NAMES, log=True, text=number_text)
    y = axis_for([end for p in every for end in (p.low, p.high)], HEIGHT - BOTTOM, TOP, log=True, text=bytes_text)
    drawn = draw(panel, x, y, "of a request", "tokens of the context", at_ends(series, x, y))
    note = "All tokens kept; contexts of about one length are a point, bars from the least to the most of them."
    return [Figure("bytes-by-length", _headline(series), (drawn,), note=note, shown=(panel,))]


def _headline(series: Sequence[Series]) -> str:
    """Exponents of straight lines through log over log: 1 is in proportion."""
    exponents = [
        float(np.polyfit(np.log([p.x for p in each.points]), np.log([p.y for p in each.points]), 1)[0])
        for each in series
    ]
    return f"Bytes grow with the context to the power of {min(exponents):.2f} to {max(exponents):.2f}"


def _is_whole(arm: Arm) -> bool:
    return bool(arm.codec) and arm.keep == 1 and not arm.is_control


def _sizes(results: Results, arm: Arm) -> Iterator[tuple[int, int]]:
    """Tokens that the sharer read, and payload bytes, of every item that was sent."""
    for dataset in results.datasets:
        for record in dataset.records.get(arm.name, ()):
            if record["bytes"] and record["tokens"] and record["tokens"]["context"]:
                yield record["tokens"]["context"], record["bytes"]["payload"]


def _points(arm: Arm, sizes: Iterable[tuple[int, int]]) -> tuple[Point, ...]:
    """Contexts of about one length, within half a doubling, are a point."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for tokens, sent in sizes:
        groups.setdefault(round(2 * math.log2(tokens)), []).append((tokens, sent))
    found = []
    for _, group in sorted(groups.items()):
        lengths, bytes_sent = zip(*group, strict=True)
        length, mean = fmean(lengths), fmean(bytes_sent)
        label = f"{arm.name}, {length:.0f} tokens: {bytes_text(mean)}"
        found.append(Point(length, mean, min(bytes_sent), max(bytes_sent), label))
    return tuple(found)
