"""``kvwire codec``: what the codecs need to know of a model, what they cost, and what they change."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kvwire.cli.options import DataOption

if TYPE_CHECKING:
    from bench.row import Row
    from bench.speed import Shape, Speed
    from codec.spec import CodecSpec

app = typer.Typer(help="Calibrate and measure codecs.", no_args_is_help=True)

_QUALITY_TOKENS, _SPEED_TOKENS = (512,), (4096,)
_STOPPED = "stopped; what was measured is kept\n"


@app.callback()
def group() -> None:
    """Calibrate and measure codecs."""


@app.command("bench")
def bench(
    codec: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="May be repeated; default: all.")] = None,
    model: Annotated[list[str], typer.Option(help="May be repeated.")] = ["smollm2-135m"],  # noqa: B006  # typer copies
    tokens: Annotated[list[int] | None, typer.Option(min=1, help="Of the cache; may be repeated.")] = None,
    documents: Annotated[int, typer.Option(min=1, help="Articles of WikiText-2's test split.")] = 20,
    data: DataOption = None,
    speed_only: Annotated[bool, typer.Option(help="Gaussian numbers instead of a model; speed alone.")] = False,
    kv_heads: Annotated[int, typer.Option(min=1, help="With --speed-only.")] = 8,
    head_dim: Annotated[int, typer.Option(min=1, help="With --speed-only.")] = 128,
    dtype: Annotated[str, typer.Option(help="With --speed-only: float32, bfloat16 or float16.")] = "bfloat16",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    budget_s: Annotated[float, typer.Option(min=0, help="Seconds of timing per codec and direction.")] = 0.5,
    file: Annotated[Path | None, typer.Option("--json", help="Write the rows here too, as they come.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw KL against bits per value into this SVG.")] = None,
) -> None:
    """Send a model's caches through codecs; show bits, KL to the uncompressed cache, and speed beside a plain copy.

    Ctrl-C ends it and keeps what was measured.
    """
    import torch

    from bench import specs
    from bench.speed import Shape
    from codec.spec import CodecSpec
    from kvwire.errors import InvalidRequestError

    if dtype not in {"float32", "bfloat16", "float16"}:
        raise InvalidRequestError(f"dtype {dtype!r}: use float32, bfloat16 or float16")
    torch.set_num_threads(threads)
    parsed = [CodecSpec.parse(text) for text in codec or specs.DEFAULT]
    if speed_only:
        shapes = [Shape(each, kv_heads, head_dim, getattr(torch, dtype)) for each in tokens or _SPEED_TOKENS]
        speeds = _measure_speed(parsed, shapes, budget_s)
        _save(file, speeds)
        Console().print(_speed_table(speeds))
        return
    rows = _measure_quality(model, tokens or _QUALITY_TOKENS, documents, data, parsed, budget_s, file)
    for name, length in dict.fromkeys((row.model, row.tokens) for row in rows):
        own = [row for row in rows if (row.model, row.tokens) == (name, length)]
        Console().print(_quality_table(f"{name}, {length} tokens, {own[0].documents} documents", own))
    if plot is not None and rows:
        from bench.plot import plot as drawn

        plot.write_text(drawn(rows), encoding="utf-8")


def _measure_speed(specs: "Sequence[CodecSpec]", shapes: "Sequence[Shape]", budget_s: float) -> "list[Speed]":
    from bench.speed import measure

    speeds = []
    try:
        for shape in shapes:
            for spec in specs:
                sys.stderr.write(f"{shape.tokens} tokens, {spec} ...\n")
                speeds.append(measure(spec, shape, budget_s))
    except KeyboardInterrupt:
        sys.stderr.write(_STOPPED)
    return speeds


def _measure_quality(
    models: Sequence[str],
    lengths: Sequence[int],
    count: int,
    data: Path | None,
    specs: "Sequence[CodecSpec]",
    budget_s: float,
    file: Path | None,
) -> "list[Row]":
    from bench.documents import documents
    from bench.run import Run, engine_of

    runs: list[Run] = []
    try:
        for name in models:
            engine = engine_of(name)
            for tokens in lengths:
                run = Run(engine, name, tokens, specs, budget_s)
                runs.append(run)
                for document in documents(count, tokens, engine.prompts, data):
                    run.measure(document, lambda line: sys.stderr.write(f"{line}\n"))
                    _save(file, [row for each in runs for row in each.rows])
    except KeyboardInterrupt:
        sys.stderr.write(_STOPPED)
    rows = [row for each in runs for row in each.rows]
    _save(file, rows)
    return rows


def _save(file: Path | None, rows: "Sequence[Speed | Row]") -> None:
    if file is not None:
        file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def _quality_table(title: str, rows: "Sequence[Row]") -> Table:
    caption = "KL: nats per token. GB/s: encode, decode, plain copy; of bfloat16, best run"
    table = Table(box=SIMPLE_HEAD, title=title, caption=caption, pad_edge=False, collapse_padding=True)
    table.add_column("codec", no_wrap=True)
    for column in ("bits", "KL", "95 %", "top-1", "GB/s"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        low, high = row.kl_ci95
        table.add_row(
            *(row.codec, f"{row.bits_per_value:.2f}", f"{row.kl:.4f}", f"{low:.4f}-{high:.4f}", f"{row.top1:.1%}"),
            f"{row.encode_gbps:.2f} {row.decode_gbps:.2f} {row.copy_gbps:4.1f}",
        )
    return table


def _speed_table(rows: "Sequence[Speed]") -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption="GB/s: the layer counted as bfloat16; us: per layer; best run",
    )
    table.add_column("codec", no_wrap=True)
    for column in ("tokens", "bits", "encode GB/s", "decode GB/s", "copy GB/s", "encode us", "decode us"):
        table.add_column(column, justify="right")
    for row in rows:
        speeds = (f"{speed:.2f}" for speed in (row.bits_per_value, row.encode_gbps, row.decode_gbps, row.copy_gbps))
        table.add_row(row.codec, str(row.tokens), *speeds, f"{row.encode_us:,.0f}", f"{row.decode_us:,.0f}")
    return table


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

    torch.set_num_threads(threads)
    stored = ModelStore().pull(model)
    loaded = load(stored, dtype=torch.float32)
    data = run(loaded, "\n".join(file.read_text(encoding="utf-8") for file in text), typer.echo)
    folder = out or default_home() / "calibrations"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(bytes.fromhex(stored.weights_fingerprint))
    path.write_bytes(data)
    typer.echo(path)


@app.command()
def profile(
    text: Annotated[list[Path], typer.Option(help="UTF-8 text like what will be sent; may be repeated")],
    model: Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME@REVISION or path:DIR")] = "smollm2-135m",
    codec: Annotated[list[str] | None, typer.Option(metavar="BASE", help="May be repeated; default: five.")] = None,
    windows: Annotated[int, typer.Option(min=1, help="pieces of text, 544 tokens each")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="torch threads")] = 2,
    file: Annotated[Path | None, typer.Option("--json", help="default: in the model store, where sharers look")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw KL by layer into this SVG.")] = None,
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
    from kvwire.models.store import default_home

    bases = [Base.parse(Piece(each, 0, len(each))) for each in codec or CODECS]
    torch.set_num_threads(threads)
    engine = engine_of(model)
    found = run(engine, "\n".join(each.read_text(encoding="utf-8") for each in text), bases, windows, typer.echo)
    path = file or default_home() / "profiles" / file_name(found.weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.to_json(), encoding="utf-8")
    if plot is not None:
        plot.write_text(drawn(found), encoding="utf-8")
    typer.echo(path)
