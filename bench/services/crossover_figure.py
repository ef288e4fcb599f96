"""Draws the map of the fastest ways: ``python -m bench.services.crossover_figure MAP.json MAP.svg``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.services.drawing import standalone, text

_LEFT, _TOP, _CELL_WIDTH, _CELL_HEIGHT, _GAP = 110, 64, 142, 54, 56
_COLOURS = {"fp16": "c0", "int8": "c2", "rd:bits=2": "c1", "reading again": "c5", "text relay": "c3"}
_TITLES = {"cold": "The sharer has not read the context", "warm": "The sharer has read it and keeps its frames"}

Cell = Mapping[str, Any]


def plot(cells: Sequence[Cell]) -> str:
    """One standalone SVG; ``cells`` as :mod:`bench.services.crossover` writes them."""
    ratios = sorted({cell["wire_over_prefill"] for cell in cells})
    contexts = sorted({cell["context_tokens"] for cell in cells})
    width = _LEFT + len(ratios) * _CELL_WIDTH + 20
    panel = len(contexts) * _CELL_HEIGHT + _GAP
    height = _TOP + len(_TITLES) * panel
    parts = [text(_LEFT, 20, "The fastest way to a first token, and how long it takes", "title")]
    for index, (sharer, title) in enumerate(_TITLES.items()):
        top = _TOP + index * panel
        parts.append(text(_LEFT, top - 24, title, "title"))
        parts.append(text(_LEFT - 8, top - 7, "wire / prefill", "small", "end"))
        for column, ratio in enumerate(ratios):
            middle = _LEFT + (column + 0.5) * _CELL_WIDTH
            parts.append(text(middle, top - 7, f"{ratio:g}", "small", "middle"))
        for row, tokens in enumerate(contexts):
            middle = top + (row + 0.5) * _CELL_HEIGHT + 4
            parts.append(text(_LEFT - 8, middle, f"{tokens} tokens", "small", "end"))
        for cell in cells:
            if cell["sharer"] == sharer:
                column, row = ratios.index(cell["wire_over_prefill"]), contexts.index(cell["context_tokens"])
                parts += _cell(cell, _LEFT + column * _CELL_WIDTH, top + row * _CELL_HEIGHT)
    return standalone(width, height, parts)


def _cell(cell: Cell, x: int, y: int) -> Iterator[str]:
    """The fastest way in its colour, and under it the next one."""
    (first, first_s), (second, second_s) = sorted(cell["ttft_s"].items(), key=lambda way: way[1])[:2]
    middle = x + _CELL_WIDTH / 2
    box = f'x="{x + 1}" y="{y + 1}" width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}"'
    told = ", ".join(f"{way} {1000 * seconds:.0f} ms" for way, seconds in cell["ttft_s"].items())
    yield f'<g><title>{escape(told)}</title><rect class="{_COLOURS[first]}" fill-opacity="0.25" rx="3" {box}/>'
    yield text(middle, y + 22, first, "title", "middle")
    yield text(middle, y + 36, f"{1000 * first_s:.0f} ms", anchor="middle")
    yield text(middle, y + 49, f"then {second} \u00d7{second_s / first_s:.1f}", "small", "middle") + "</g>"


def main(
    measured: Annotated[Path, typer.Argument(help="JSON of bench.services.crossover")],
    figure: Annotated[Path, typer.Argument(help="SVG to write")],
) -> None:
    """Draw it."""
    figure.write_text(plot(json.loads(measured.read_text())["cells"]))


if __name__ == "__main__":
    typer.run(main)
