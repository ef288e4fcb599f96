"""``kvwire fuser calibrate``: make a fuser for two models in closed form."""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvwire.cli.files import read_texts, writable
from kvwire.cli.options import JsonOption, save

if TYPE_CHECKING:
    import torch

    from calibration.readings import Files, TextReader

SharerModel = Annotated[str, typer.Option(help="the model that will read, as kvwire models names it")]
ReceiverModel = Annotated[str, typer.Option(help="the model that will answer")]
TextOption = Annotated[list[Path], typer.Option(help="UTF-8 text like what will be sent; may be repeated")]
PiecesOption = Annotated[int, typer.Option(min=32, help="pieces of text to read, about 380 tokens each")]
ReadingsOption = Annotated[
    Path | None, typer.Option(help="folder of what models have read; default: in the model store")
]
WorthOption = Annotated[
    bool, typer.Option("--worth/--no-worth", help="tell by held-out text what the fuser is worth, for minutes")
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="torch threads")]

#: Pieces that nothing is learned from: what a fuser is worth is told by them.
HELD_OUT = 24
_TOKENS = 4096


def calibrate(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the safetensors file to write", callback=writable)],
    sharer: SharerModel,
    receiver: ReceiverModel,
    text: TextOption,
    pieces: PiecesOption = 320,
    megabytes: Annotated[float, typer.Option(min=1, help="size of the fuser, in millions of bytes")] = 40.0,
    window: Annotated[int, typer.Option(min=0, help="sharer layers per receiver layer; 0: all, within the size")] = 0,
    ridge: Annotated[float, typer.Option(min=0, help="what is added to variances of 1; 0: held-out text decides")] = 0,
    readings: ReadingsOption = None,
    worth: WorthOption = True,
    threads: ThreadsOption = 2,
    json_file: JsonOption = None,
) -> None:
    """Read text with both models once and solve for the fuser in closed form; cut short, it goes on where it was."""
    from calibration.closed_form import RIDGES, closed_form, one_band, window_bands
    from calibration.training import Training
    from fuser.projectors import ridge_file

    whole, learned_from = read_texts(text), hashes(text)
    pair = sides(sharer, receiver, threads)
    files = collected(pair, whole, pieces, readings)
    bands = window_bands(*pair, window) if window else one_band(*pair, megabytes)
    ridges = (ridge,) if ridge else RIDGES
    solved = closed_form(*pair, bands, files[:-HELD_OUT], files[-HELD_OUT:], ridges)
    made = {"how": "closed form", "tokens": solved.tokens, "ridge": solved.ridge, "learned_from": learned_from}
    ridge_file.write(solved.fuser, out, made)
    found = made | {
        "file_bytes": out.stat().st_size,
        "r2_keys": solved.r2[:, 0].tolist(),
        "r2_values": solved.r2[:, 1].tolist(),
    }
    if worth and len(bands) == 1:
        held = Training(solved.fuser, *pair, files[-HELD_OUT:])
        found |= held.gain(held.texts).to_json()
    tell(found, json_file)


def sides(sharer: str, receiver: str, threads: int) -> "tuple[TextReader, TextReader]":
    """Both models, ready to read, in float32."""
    import torch

    torch.set_num_threads(threads)
    return reader(sharer, torch.float32), reader(receiver, torch.float32)


def reader(model: str, dtype: "torch.dtype") -> "TextReader":
    """One model, ready to read."""
    from calibration.readings import TextReader
    from kvwire.engine.attention import IMPLEMENTATION
    from kvwire.models.load import load
    from kvwire.models.store import ModelStore

    return TextReader(load(ModelStore().pull(model), dtype=dtype, attn_implementation=IMPLEMENTATION), _TOKENS)


def collected(pair: "tuple[TextReader, TextReader]", text: str, pieces: int, readings: Path | None) -> "list[Files]":
    """What both made of the text, piece by piece; what is there already is not read again."""
    from calibration.collect import collect
    from kvwire.models.store import default_home
    from loadtest.bar import bar

    of_text = hashlib.sha256(text.encode()).hexdigest()[:12]
    files = []
    for side in pair:
        model = side.card.binding
        folder = f"{model.weights_fingerprint.hex()[:12]}-{of_text}"
        place = (readings or default_home() / "readings") / folder
        with bar(f"{model.id} reads", pieces, "pieces of text") as shown:
            files.append(collect(side, text, pieces, place, lambda done, _: shown(done)))
    return list(zip(*files, strict=True))


def hashes(text: list[Path]) -> dict[str, str]:
    """SHA-256 of each file by its name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in text}


def tell(found: dict[str, object], json_file: Path | None) -> None:
    """Write all of it to a file, and what is one value to standard output."""
    save(found, json_file)
    for name, value in found.items():
        if not isinstance(value, list | dict):
            sys.stdout.write(f"{name:<20} {value}\n")
