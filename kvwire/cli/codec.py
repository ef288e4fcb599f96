"""``kvwire codec``: what the codecs need to know of a model, and what they cost."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench.speed import Speed

app = typer.Typer(help="Calibrate and measure codecs.", no_args_is_help=True)

_DEFAULT = ["fp32", "bf16", "fp8", "int8", "int8:per=head", "int4", "nf4", "int8+rope=pre", "nf4+rope=pre"]


@app.callback()
def group() -> None:
    """Calibrate and measure codecs."""


@app.command("bench")
def bench(
    codec: Annotated[list[str], typer.Option(metavar="SPEC", help="May be repeated.")] = _DEFAULT,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of the layer.")] = 4096,
    kv_heads: Annotated[int, typer.Option(min=1)] = 8,
    head_dim: Annotated[int, typer.Option(min=1)] = 128,
    dtype: Annotated[str, typer.Option(help="What the model hands over: float32, bfloat16 or float16.")] = "bfloat16",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    budget_s: Annotated[float, typer.Option(min=0, help="Seconds per codec and direction.")] = 1.0,
    file: Annotated[Path | None, typer.Option("--json", help="Write the rows here too.")] = None,
) -> None:
    """Time whole frames of one layer of Gaussian numbers, beside a plain copy."""
    import torch

    from bench.speed import Shape, measure
    from codec.spec import CodecSpec
    from kvwire.errors import InvalidRequestError

    if dtype not in {"float32", "bfloat16", "float16"}:
        raise InvalidRequestError(f"dtype {dtype!r}: use float32, bfloat16 or float16")
    torch.set_num_threads(threads)
    shape = Shape(tokens, kv_heads, head_dim, getattr(torch, dtype))
    rows = []
    for spec in [CodecSpec.parse(text) for text in codec]:
        typer.echo(f"{spec} ...", err=True)
        rows.append(measure(spec, shape, budget_s))
    if file is not None:
        file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    Console().print(_table(rows))


def _table(rows: "list[Speed]") -> Table:
    table = Table(box=SIMPLE_HEAD, caption="GB/s: the layer counted as bfloat16; us: per layer; best run")
    table.add_column("codec", no_wrap=True)
    for column in ("bits", "encode GB/s", "decode GB/s", "copy GB/s", "encode us", "decode us"):
        table.add_column(column, justify="right")
    for row in rows:
        speeds = (f"{speed:.2f}" for speed in (row.bits_per_value, row.encode_gbps, row.decode_gbps, row.copy_gbps))
        table.add_row(row.codec, *speeds, f"{row.encode_us:,.0f}", f"{row.decode_us:,.0f}")
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
