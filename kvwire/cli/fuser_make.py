"""``kvwire fuser calibrate|train``: make a fuser for two models."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kvwire.cli.options import JsonOption
from kvwire.errors import InvalidRequestError

if TYPE_CHECKING:
    import torch

    from calibration.closed_form import Files
    from calibration.readings import TextReader
    from codec.codec import Codec
    from fuser.projectors.ridge import RidgeFuser

SharerModel = Annotated[str, typer.Option(help="the model that will read, as kvwire models names it")]
ReceiverModel = Annotated[str, typer.Option(help="the model that will answer")]
TextOption = Annotated[list[Path], typer.Option(help="UTF-8 text like what will be sent; may be repeated")]
PiecesOption = Annotated[int, typer.Option(min=32, help="pieces of text to read, about 380 tokens each")]
ReadingsOption = Annotated[
    Path | None, typer.Option(help="folder of what models have read; default: in the model store")
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="torch threads")]

#: Pieces that nothing is learned from: what a fuser is worth is told by them.
HELD_OUT = 24
_TOKENS = 4096
_LINES = 20


def calibrate(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the safetensors file to write")],
    sharer: SharerModel,
    receiver: ReceiverModel,
    text: TextOption,
    pieces: PiecesOption = 320,
    megabytes: Annotated[float, typer.Option(min=1, help="size of the fuser, in millions of bytes")] = 40.0,
    window: Annotated[int, typer.Option(min=0, help="sharer layers per receiver layer; 0: all, within the size")] = 0,
    ridge: Annotated[float, typer.Option(min=0, help="what is added to variances of 1; 0: held-out text decides")] = 0,
    readings: ReadingsOption = None,
    threads: ThreadsOption = 2,
    json_file: JsonOption = None,
) -> None:
    """Read text with both models once and solve for the fuser in closed form; cut short, it goes on where it was."""
    from calibration.closed_form import RIDGES, closed_form, one_band, window_bands
    from calibration.training import Training
    from fuser.projectors import ridge_file

    sides = _sides(sharer, receiver, threads)
    files = _collected(sides, text, pieces, readings)
    bands = window_bands(*sides, window) if window else one_band(*sides, megabytes)
    ridges = (ridge,) if ridge else RIDGES
    solved = closed_form(*sides, bands, files[:-HELD_OUT], files[-HELD_OUT:], ridges)
    made = {"how": "closed form", "tokens": solved.tokens, "ridge": solved.ridge, "learned_from": _hashes(text)}
    ridge_file.write(solved.fuser, out, made)
    found = made | {
        "file_bytes": out.stat().st_size,
        "r2_keys": solved.r2[:, 0].tolist(),
        "r2_values": solved.r2[:, 1].tolist(),
    }
    if len(bands) == 1:
        held = Training(solved.fuser, *sides, files[-HELD_OUT:])
        found |= held.gain(held.texts).to_json()
    _told(found, json_file)


def train(
    fuser: Annotated[Path, typer.Argument(metavar="FUSER", help="a ridge fuser to begin with")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the safetensors file to write")],
    sharer: SharerModel,
    receiver: ReceiverModel,
    text: TextOption,
    pieces: PiecesOption = 320,
    steps: Annotated[int, typer.Option(min=1, help="steps of --batch texts each")] = 800,
    batch: Annotated[int, typer.Option(min=1, help="texts per step")] = 8,
    rate: Annotated[float, typer.Option(min=0, help="largest learning rate")] = 5e-4,
    codec: Annotated[str, typer.Option(help="codec spec behind which it learns; default: caches as they are")] = "",
    bend: Annotated[int, typer.Option(min=0, help="hidden units of what is not linear; 0: none, or as FUSER has")] = 0,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="the receiver computes in bfloat16: see docs")] = False,
    seed: Annotated[int, typer.Option(help="of the order of texts and of where they are cut")] = 0,
    plot: Annotated[Path | None, typer.Option(help="draw the losses into this SVG")] = None,
    work: Annotated[Path | None, typer.Option(help="folder of checkpoints and losses; default: beside FILE")] = None,
    readings: ReadingsOption = None,
    threads: ThreadsOption = 2,
    json_file: JsonOption = None,
) -> None:
    """Train a fuser through the frozen receiver; cut short, even by kill -9, it goes on from its last checkpoint."""
    import torch

    from calibration.training import Plan, Training
    from fuser.projectors import ridge_file
    from fuser.train.loop import Schedule, losses

    began = _trainable(fuser, bend, seed)
    sides = _sides(sharer, receiver, threads)
    began.check(sides[0].card, sides[1].card)
    files = _collected(sides, text, pieces, readings)
    teacher = _reader(receiver, torch.bfloat16) if bfloat16 else None
    training = Training(began, *sides, files, _codec(sides[0], codec) if codec else None, teacher)
    learned, held_out = training.texts[:-HELD_OUT], training.texts[-HELD_OUT:]
    made = {"how": "trained", "from": began.fingerprint.hex(), "learned_from": _hashes(text), "pieces": pieces}
    made |= {
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "codec": codec,
        "seed": seed,
        "bfloat16": bfloat16,
        "bend": bend,
    }
    before, folder = training.gain(held_out), work or out.with_suffix(".training")
    with _progress(f"{steps} steps", steps) as told:
        for taken in training.run(Plan(Schedule(steps, rate), batch, seed), learned, folder, made):
            told(taken.step + 1, steps)
    ridge_file.write(training.trained(), out, made)
    history = losses(folder)
    _drawn(plot, out.name, [each.loss for each in history])
    found = made | {
        "file_bytes": out.stat().st_size,
        "seconds": history[-1].seconds,
        "before": before.to_json(),
        **training.gain(held_out).to_json(),
        "losses": [each.loss for each in history],
    }
    _told(found, json_file)


def _trainable(path: Path, bend: int, seed: int) -> "RidgeFuser":
    from fuser.projectors.ridge import RidgeFuser
    from fuser.registry import read_fuser
    from fuser.train.trainee import with_bend

    found = read_fuser(path)
    if not isinstance(found, RidgeFuser) or len(found.bands) != 1:
        raise InvalidRequestError(f"{path} has several bands, or is of another kind; calibrate one without --window")
    if bend and found.bands[0].bend:
        raise InvalidRequestError(f"{path} has a bend of {found.bands[0].bend} units already; leave --bend out")
    return with_bend(found, bend, seed) if bend else found


def _drawn(plot: Path | None, title: str, losses: list[float]) -> None:
    from bench import loss_plot

    if plot is not None:
        plot.write_text(loss_plot.plot(title, losses), encoding="utf-8")


def _sides(sharer: str, receiver: str, threads: int) -> "tuple[TextReader, TextReader]":
    import torch

    torch.set_num_threads(threads)
    return _reader(sharer, torch.float32), _reader(receiver, torch.float32)


def _reader(model: str, dtype: "torch.dtype") -> "TextReader":
    from calibration.readings import TextReader
    from kvwire.engine.attention import IMPLEMENTATION
    from kvwire.models.load import load
    from kvwire.models.store import ModelStore

    return TextReader(load(ModelStore().pull(model), dtype=dtype, attn_implementation=IMPLEMENTATION), _TOKENS)


def _codec(sharer: "TextReader", spec: str) -> "Codec":
    from codec.calibrations import Calibrations
    from codec.codec import Codec
    from codec.spec import CodecSpec
    from kvwire.models.store import default_home

    parsed, model = CodecSpec.parse(spec), sharer.card.binding
    tables = Calibrations(default_home() / "calibrations").needed(parsed, model.weights_fingerprint, model.id)
    return Codec(parsed, sharer.ropes, tables)


def _collected(
    sides: "tuple[TextReader, TextReader]", text: list[Path], pieces: int, readings: Path | None
) -> "list[Files]":
    from calibration.collect import collect
    from kvwire.models.store import default_home

    whole = "\n".join(file.read_text(encoding="utf-8") for file in text)
    of_text = hashlib.sha256(whole.encode()).hexdigest()[:12]
    files = []
    for side in sides:
        model = side.card.binding
        folder = f"{model.weights_fingerprint.hex()[:12]}-{of_text}"
        with _progress(f"{model.id} reads {pieces} pieces of text", pieces) as told:
            files.append(collect(side, whole, pieces, (readings or default_home() / "readings") / folder, told))
    return list(zip(*files, strict=True))


def _hashes(text: list[Path]) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in text}


def _told(found: dict[str, object], json_file: Path | None) -> None:
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    for name, value in found.items():
        if not isinstance(value, list | dict):
            sys.stdout.write(f"{name:<20} {value}\n")


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, some lines elsewhere; on standard error."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done, _: bar.update(task, completed=done)
        return
    yield lambda done, of: _line(title, done, of)


def _line(title: str, done: int, total: int) -> None:
    if done * _LINES // total > (done - 1) * _LINES // total:
        sys.stderr.write(f"{title}: {done} done\n")
