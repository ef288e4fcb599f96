"""The fusers that recipes need, as files that are made once.

A file is named after everything it is made from, so that it is found again by whoever needs the same, and nothing that
was made from other texts or models is taken for it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.needs import Calibrated, Fresh, Given, Need, Published, Trained

# Prefill of the models we ship, tokens per second on two cores in float32, measured 2026-11-23; others are not known.
_TOKENS_PER_S = {"smollm2-135m": 300, "gemma3-270m": 200, "qwen2.5-coder-0.5b": 115}
# Of `kvwire fuser calibrate` and `train`: docs/fusers.md.
_PIECE_TOKENS, _SOLVE_MINUTES, _STEP_S = 380, 2.0, 4.0

# What a fuser is worth is what the experiment asks.
_ASKED_OVER_THE_WIRE = "--no-worth"


@dataclass(frozen=True)
class Between:
    """The models of a recipe and the texts that its fusers are made from, by path and SHA-256."""

    sharer: str
    receiver: str
    texts: Mapping[Path, str]


@dataclass(frozen=True)
class Artifact:
    """A fuser by its name in the recipe, its file, and the ``kvwire`` command that makes it; none if it must be there.

    ``minutes``: about how long on two cores; None where nobody has measured it. Before that both models must have read
    so many ``pieces`` of text, which others that need it do not read again.
    """

    name: str
    file: Path
    command: tuple[str, ...]
    minutes: float | None
    reads: tuple[tuple[str, int], ...] = ()


def artifacts(needs: Mapping[str, Need], between: Between, folder: Path) -> list[Artifact]:
    """All of a recipe's fusers, each behind what it is made from."""
    found: dict[str, Artifact] = {}

    def add(name: str) -> Artifact:
        if name not in found:
            need = needs[name]
            start = add(need.start) if isinstance(need, Trained) else None
            found[name] = _artifact(name, need, start, between, folder)
        return found[name]

    for name in needs:
        add(name)
    return list(found.values())


def making_minutes(found: Iterable[Artifact]) -> float | None:
    """About how long it takes to make what is not there; None if nobody has measured it."""
    missing = {each.file: each for each in found if not each.file.exists()}.values()
    reads = {read for each in missing for read in each.reads}
    minutes = [each.minutes for each in missing] + [_reading_minutes(*read) for read in reads]
    return None if None in minutes else sum(each for each in minutes if each)


def _reading_minutes(model: str, pieces: int) -> float | None:
    rate = _TOKENS_PER_S.get(model)
    return pieces * _PIECE_TOKENS / rate / 60 if rate else None


def _artifact(name: str, need: Need, start: Artifact | None, between: Between, folder: Path) -> Artifact:
    if isinstance(need, Given):
        return Artifact(name, Path(need.path), (), None)
    key = [need.model_dump(exclude={"start"}), between.sharer, between.receiver, start.file.name if start else ""]
    if not isinstance(need, Published):
        key.append(sorted(between.texts.values()))
    stem = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    file = folder / f"{need.how}-{stem}.safetensors"
    models = ("--sharer", between.sharer, "--receiver", between.receiver)
    pieces = need.pieces if isinstance(need, Calibrated | Trained) else 0
    reads = ((between.sharer, pieces), (between.receiver, pieces)) if pieces else ()
    return Artifact(name, file, (*_command(need, start, file, between), *models), _minutes(need), reads)


def _command(need: Need, start: Artifact | None, file: Path, between: Between) -> Iterator[str]:
    texts = [argument for text in between.texts for argument in ("--text", str(text))]
    match need:
        case Calibrated():
            yield from ("fuser", "calibrate", str(file), *texts)
            yield from ("--pieces", str(need.pieces), "--megabytes", f"{need.megabytes:g}", _ASKED_OVER_THE_WIRE)
        case Fresh():
            yield from ("fuser", "fresh", str(file), "--hidden", str(need.hidden), "--inner", str(need.inner))
        case Trained() if start is not None:
            yield from ("fuser", "train", str(start.file), str(file), *texts)
            yield from ("--pieces", str(need.pieces), "--steps", str(need.steps), _ASKED_OVER_THE_WIRE)
            yield from ("--codec", need.codec) if need.codec else ()
            yield from ("--without-sharer",) if need.without_sharer else ()
        case Published():
            yield from ("fuser", "convert", f"hf:{need.repo}@{need.revision}/{need.folder}", str(file))


def _minutes(need: Need) -> float | None:
    match need:
        case Calibrated():
            return _SOLVE_MINUTES
        case Trained():
            return need.steps * _STEP_S / 60
        case Fresh():
            return 1.0
        case _:
            return None
