"""A model's sensitivity profile, drawn: divergence by layer, a panel for keys and one for values.

Profiles are written by ``kvwire codec profile``; ``codec.allocate.profile`` has their format. What is no profile is not
drawn.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from experiments.report.axis import axis_for, number_text
from experiments.report.figures import Figure
from experiments.report.labels import at_ends
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Panel, Point, Series, draw
from kvwire.errors import InvalidRequestError

_NAMES = 112  # pixels right of the curves, for their names
_HALVES = ("keys", "values")
_MOST_SENSITIVE = 3  # are named


@dataclass(frozen=True)
class Sensitivity:
    """``divergences[layer][0 for keys, 1 for values][curve]``, nats per token; a curve is a ``codec`` or a ``head``."""

    model: str
    by: str
    curves: Sequence[str]
    divergences: Sequence[Sequence[Sequence[float]]]
    note: str


class _File(BaseModel):
    """What is read of a profile's file."""

    model: str
    codecs: list[str]
    divergences: list[tuple[list[float], list[float]]] = Field(min_length=1)
    heads: list[tuple[list[float], list[float]]] = []
    windows: int
    tokens: int
    scored_tokens: int


def find_profiles(folder: Path) -> Iterator[Sensitivity]:
    """The profiles in a folder, by file name: by codec, and of newer ones also by head.

    Raises:
        InvalidRequestError: One is damaged.
    """
    for path in sorted(folder.glob("*.json")):
        found = _read(path)
        if found is None:
            continue
        note = f"{found.windows} texts, {found.tokens} tokens coded, {found.scored_tokens} scored."
        yield Sensitivity(found.model, "codec", short_codecs(found.codecs), found.divergences, note)
        if found.heads:
            heads = [f"head {head}" for head in range(len(found.heads[0][0]))]
            alone = f"Each kv head alone by {found.codecs[0]}. {note}"
            yield Sensitivity(found.model, "head", heads, found.heads, alone)


def _read(path: Path) -> _File | None:
    """None if it is no profile: results, schedules and matrices are JSON too."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return None
    if not isinstance(found, dict) or (found.get("format"), found.get("version")) != ("kvwire profile", 1):
        return None
    try:
        return _File.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(
            f"{path} is a damaged profile ({place}: {first['msg']}); make it again: kvwire codec profile"
        ) from error


def sensitivity_figure(found: Sensitivity) -> Figure:
    """Two panels; parts without any divergence are not in them."""
    numbers = [nats for halves in found.divergences for half in halves for nats in half]
    x = axis_for(range(len(found.divergences)), LEFT, WIDTH - _NAMES, log=False, text=number_text)
    y = axis_for(numbers, HEIGHT - BOTTOM, TOP, log=True, text=number_text)
    panels = [Panel(f"{found.model}, {what}", _series(found, half), (), ()) for half, what in enumerate(_HALVES)]
    label = "KL if this part alone is coded, nats per token"
    drawn = tuple(draw(panel, x, y, label, "layer", at_ends(panel.series, x, y)) for panel in panels)
    return Figure(f"{found.model}-{found.by}", _headline(found), drawn, note=found.note, shown=panels)


def short_codecs(codecs: Sequence[str]) -> list[str]:
    """The codecs without the parameters that all of those have that have any."""
    split = [(base, parameters.split(",")) for base, _, parameters in (codec.partition(":") for codec in codecs)]
    given = [set(parameters) for _, parameters in split if parameters != [""]]
    shared = set.intersection(*given) if len(given) > 1 else set()
    own = [(base, ",".join(each for each in parameters if each not in shared)) for base, parameters in split]
    return [f"{base}:{rest}" if rest else base for base, rest in own]


def _headline(found: Sensitivity) -> str:
    """The parts that move predictions most."""
    parts = [
        (nats, f"{what} of layer {layer}, {curve}")
        for layer, halves in enumerate(found.divergences)
        for what, half in zip(_HALVES, halves, strict=True)
        for curve, nats in zip(found.curves, half, strict=True)
    ]
    named = "; ".join(part for _, part in sorted(parts, reverse=True)[:_MOST_SENSITIVE])
    return f"Most sensitive: {named}"


def _series(found: Sensitivity, half: int) -> tuple[Series, ...]:
    return tuple(Series(name, curve, tuple(_points(found, half, curve))) for curve, name in enumerate(found.curves))


def _points(found: Sensitivity, half: int, curve: int) -> Iterator[Point]:
    for layer, halves in enumerate(found.divergences):
        nats = halves[half][curve]
        if nats > 0:
            yield Point(layer, nats, nats, nats, f"layer {layer}, {found.curves[curve]}: {number_text(nats)}")
