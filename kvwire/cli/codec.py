"""``kvwire codec``: what the codecs need to know of a model, what they cost, and what they change."""

from pathlib import Path
from typing import Annotated

import typer

from kvwire.cli import codec_bench
from kvwire.cli.files import read_texts, writable, write_whole

app = typer.Typer(help="Calibrate and measure codecs.", no_args_is_help=True, rich_markup_mode=None)


app.command("bench")(codec_bench.bench)
app.command("report")(codec_bench.report)
app.command("peers")(codec_bench.peers)


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(metavar="REF", help="smollm2-135m, hf:OWNER/NAME@REVISION or path:DIR")],
    text: Annotated[
        list[Path], typer.Option(help="UTF-8 text like what will be sent, 15,000 tokens or more; may be repeated")
    ],
    out: Annotated[Path | None, typer.Option(help="folder of calibrations; default: the model store's")] = None,
    threads: Annotated[int, typer.Option(min=1, help="torch threads")] = 2,
) -> None:
    """Read text with a model once and write the tables that codec rd needs; sharer and receiver both load the file."""
    import torch

    from calibration.calibrate import calibrate as run
    from codec.calibration import file_name
    from kvwire.models.load import load
    from kvwire.models.store import ModelStore, default_home

    whole = read_texts(text)
    torch.set_num_threads(threads)
    stored = ModelStore().pull(model)
    path = (out or default_home() / "calibrations") / file_name(bytes.fromhex(stored.weights_fingerprint))
    write_whole(path, run(load(stored, dtype=torch.float32), whole, typer.echo))
    typer.echo(path)


@app.command()
def profile(
    text: Annotated[list[Path], typer.Option(help="UTF-8 text like what will be sent; may be repeated")],
    model: Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME@REVISION or path:DIR")] = "smollm2-135m",
    codec: Annotated[list[str] | None, typer.Option(metavar="BASE", help="May be repeated; default: five.")] = None,
    windows: Annotated[int, typer.Option(min=1, help="pieces of text, 544 tokens each")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="torch threads")] = 2,
    file: Annotated[
        Path | None, typer.Option("--json", help="default: in the model store, where sharers look", callback=writable)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw KL by layer into this SVG.", callback=writable)] = None,
) -> None:
    """Code each layer's keys and values alone and write how far predictions move: what --policy budget= chooses by."""
    import torch

    from bench.profile_plot import plot as drawn
    from bench.run import engine_of
    from calibration.profile import CODECS
    from calibration.profile import profile as run
    from codec.allocate.profile import file_name
    from codec.bases import Base
    from codec.scanner import Piece
    from kvwire.models.store import ModelStore, default_home

    bases = [Base.parse(Piece.of(each)) for each in codec or CODECS]
    whole = read_texts(text)
    torch.set_num_threads(threads)
    found = run(engine_of(ModelStore().pull(model)), whole, bases, windows, typer.echo)
    if file is None:
        file = default_home() / "profiles" / file_name(found.weights)
        write_whole(file, found.to_json().encode())
    else:
        file.write_text(found.to_json(), encoding="utf-8")
    if plot is not None:
        plot.write_text(drawn(found), encoding="utf-8")
    typer.echo(file)
