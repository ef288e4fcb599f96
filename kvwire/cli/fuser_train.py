"""``kvwire fuser train``: a fuser that has learned what a text can teach."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from kvwire.cli.files import read_texts, writable
from kvwire.cli.fuser_make import (
    HELD_OUT,
    PiecesOption,
    ReadingsOption,
    ReceiverModel,
    SharerModel,
    TextOption,
    ThreadsOption,
    WorthOption,
    collected,
    hashes,
    reader,
    sides,
    tell,
)
from kvwire.cli.options import JsonOption
from kvwire.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from calibration.losses import LossName
    from calibration.readings import TextReader
    from calibration.training import Plan
    from codec.codec import Codec
    from fuser.base import Fuser
    from fuser.train.loop import Step


class Trains(Protocol):
    """A fuser being trained, of whichever kind."""

    default_loss: "LossName"

    @property
    def texts(self) -> "Sequence[Any]":
        """What there is to learn from, and to be measured on."""
        ...

    def run(
        self, plan: "Plan", learned: "Sequence[Any]", folder: Path, about: "Mapping[str, object]"
    ) -> "Iterator[Step]":
        """Take the steps that are left."""
        ...

    def gain(self, held_out: "Sequence[Any]") -> Any:
        """What it brings; has ``to_json``."""
        ...

    def write(self, path: Path, made: "Mapping[str, Any]") -> None:
        """Write it to a file."""
        ...


@dataclass(frozen=True)
class _Changes:
    """What a training makes of a fuser beside moving its weights."""

    bend: int
    seed: int
    without_sharer: bool


def train(
    fuser: Annotated[Path, typer.Argument(metavar="FUSER", help="a ridge or C2C fuser to begin with")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the safetensors file to write", callback=writable)],
    sharer: SharerModel,
    receiver: ReceiverModel,
    text: TextOption,
    pieces: PiecesOption = 320,
    steps: Annotated[int, typer.Option(min=1, help="steps of --batch texts each")] = 800,
    batch: Annotated[int, typer.Option(min=1, help="texts per step")] = 8,
    rate: Annotated[float, typer.Option(min=0, help="largest learning rate")] = 5e-4,
    loss: Annotated[str, typer.Option(help="likelihood (default for C2C) or distillation (for ridge)")] = "",
    codec: Annotated[str, typer.Option(help="codec spec behind which it learns; default: caches as they are")] = "",
    bend: Annotated[int, typer.Option(min=0, help="hidden units of what is not linear; 0: none, or as FUSER has")] = 0,
    without_sharer: Annotated[
        bool,
        typer.Option("--without-sharer", help="it hears nothing of the sharer: a control; ask for it as NAME:zeroed"),
    ] = False,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="the receiver computes in bfloat16: see docs")] = False,
    seed: Annotated[int, typer.Option(help="of the order of texts, of where they are cut, and of soft gates")] = 0,
    plot: Annotated[Path | None, typer.Option(help="draw the losses into this SVG", callback=writable)] = None,
    work: Annotated[Path | None, typer.Option(help="folder of checkpoints and losses; default: beside FILE")] = None,
    readings: ReadingsOption = None,
    worth: WorthOption = True,
    threads: ThreadsOption = 2,
    json_file: JsonOption = None,
) -> None:
    """Train a fuser through the frozen receiver; cut short, even by kill -9, it goes on from its last checkpoint."""
    import torch

    from calibration.training import Plan
    from fuser.registry import read_fuser
    from fuser.train.loop import Schedule

    began, named = read_fuser(fuser), _loss(loss)
    whole, learned_from = read_texts(text), hashes(text)
    pair = sides(sharer, receiver, threads)
    sent = _codec(pair[0], codec) if codec else None
    trainer = _trainer(began, pair, named, sent, _Changes(bend, seed, without_sharer))
    files = collected(pair, whole, pieces, readings)
    training = trainer(*pair, files, sent, reader(receiver, torch.bfloat16) if bfloat16 else None)
    learned, held_out = training.texts[:-HELD_OUT], training.texts[-HELD_OUT:]
    plan = Plan(Schedule(steps, rate), batch, seed, named or training.default_loss)
    made = {"how": "trained", "from": began.fingerprint.hex(), "learned_from": learned_from, "pieces": pieces}
    made |= plan.to_json() | {"codec": codec, "bfloat16": bfloat16, "bend": bend}
    made |= {"without_sharer": True} if without_sharer else {}
    before = training.gain(held_out).to_json() if worth else {}
    history = _taken(training, plan, learned, work or out.with_suffix(".training"), made)
    training.write(out, made)
    _drawn(plot, out.name, plan.loss, [each.loss for each in history])
    found = made | {
        "file_bytes": out.stat().st_size,
        "seconds": history[-1].seconds,
        "before": before,
        **(training.gain(held_out).to_json() if worth else {}),
        "losses": [each.loss for each in history],
    }
    tell(found, json_file)


def _trainer(
    began: "Fuser",
    pair: "tuple[TextReader, TextReader]",
    loss: "LossName | None",
    codec: "Codec | None",
    changes: "_Changes",
) -> "Callable[..., Trains]":
    """How a fuser of its kind is trained; what cannot be is refused before anything is read."""
    from functools import partial

    from calibration.training import Training
    from calibration.training_fuse import FuseTraining
    from fuser.projectors.c2c import C2CFuser
    from fuser.projectors.ridge import RidgeFuser
    from fuser.train.trainee import with_bend

    if isinstance(began, C2CFuser):
        if changes.bend:
            raise InvalidRequestError("--bend is for ridge fusers; a C2C fuser bends already, leave it out")
        FuseTraining.check(began, *pair, loss, codec)
        return partial(FuseTraining, began, without_sharer=changes.without_sharer)
    if isinstance(began, RidgeFuser):
        Training.check(began, *pair)
        began = began.zeroed() if changes.without_sharer else began
        return partial(Training, with_bend(began, changes.bend, changes.seed) if changes.bend else began)
    raise InvalidRequestError(f"a fuser of kind {began.name} has nothing to train; make one with: kvwire fuser fresh")


def _taken(
    training: Trains, plan: "Plan", learned: "Sequence[Any]", folder: Path, made: "Mapping[str, object]"
) -> "list[Step]":
    """Take the steps that are left, under a bar; all that were ever taken."""
    from fuser.train.loop import losses
    from loadtest.bar import bar

    steps = plan.schedule.steps
    with bar("training", steps, "steps") as shown:
        for taken in training.run(plan, learned, folder, made):
            shown(taken.step + 1)
    return losses(folder)


def _loss(name: str) -> "LossName | None":
    from calibration.losses import LossName

    if name and name not in set(LossName):
        raise InvalidRequestError(f"loss {name!r}: use {' or '.join(LossName)}")
    return LossName(name) if name else None


def _codec(sharer: "TextReader", spec: str) -> "Codec":
    from codec.calibrations import Calibrations
    from codec.codec import Codec
    from codec.spec import CodecSpec
    from kvwire.models.store import default_home

    parsed, model = CodecSpec.parse(spec), sharer.card.binding
    tables = Calibrations(default_home() / "calibrations").needed(parsed, model.weights_fingerprint, model.id)
    return Codec(parsed, sharer.ropes, tables)


def _drawn(plot: Path | None, title: str, loss: "LossName", losses: list[float]) -> None:
    from bench import loss_plot

    if plot is not None:
        plot.write_text(loss_plot.plot(title, loss.value, losses), encoding="utf-8")
