"""``kvwire codec bench``, ``report`` and ``peers``: what codecs cost, change and take, ours and others'."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kvwire.cli.files import writable
from kvwire.cli.options import DataOption

if TYPE_CHECKING:
    from bench.candidate import Candidate
    from bench.row import Result
    from bench.speed import Shape, Speed
    from codec.spec import CodecSpec
    from kvwire.engine.engine import Engine
    from kvwire.models.manifest import StoredModel

_QUALITY_TOKENS, _SPEED_TOKENS = (512,), (4096,)
_STOPPED = "stopped; what was measured is kept\n"

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the rows here too, as they come.", callback=writable)
]
PlotOption = Annotated[
    Path | None, typer.Option(help="Draw KL against bits per value into this SVG.", callback=writable)
]


def bench(
    codec: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="May be repeated; default: all.")] = None,
    model: Annotated[list[str], typer.Option(help="May be repeated.")] = ["smollm2-135m"],  # noqa: B006  # typer copies
    tokens: Annotated[list[int] | None, typer.Option(min=1, help="Of the cache; may be repeated.")] = None,
    documents: Annotated[int, typer.Option(min=1, help="Articles of WikiText-2's test split.")] = 20,
    data: DataOption = None,
    peers: Annotated[bool, typer.Option("--peers", help="Other projects' codecs too: kvwire codec peers.")] = False,
    own: Annotated[bool, typer.Option(help="This project's codecs.")] = True,
    speed_only: Annotated[bool, typer.Option(help="Gaussian numbers instead of a model; speed alone.")] = False,
    kv_heads: Annotated[int, typer.Option(min=1, help="With --speed-only.")] = 8,
    head_dim: Annotated[int, typer.Option(min=1, help="With --speed-only.")] = 128,
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="With --speed-only.")] = "bfloat16",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    budget_s: Annotated[float, typer.Option(min=0, help="Seconds of timing per codec and direction.")] = 0.5,
    file: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Send a model's caches through codecs; show bits, KL to the uncompressed cache, and speed beside a plain copy.

    Ctrl-C ends it and keeps what was measured.
    """
    import torch

    from bench import specs
    from bench.speed import Shape
    from codec.spec import CodecSpec
    from kvwire.errors import InvalidRequestError

    if speed_only and (peers or plot):
        raise InvalidRequestError("--speed-only is of our codecs and draws no plot; leave --peers and --plot out")
    if not own and not peers:
        raise InvalidRequestError("--no-own leaves nothing to measure; add --peers")
    torch.set_num_threads(threads)
    usual = specs.UNCALIBRATED if speed_only else specs.DEFAULT
    parsed = [CodecSpec.parse(text) for text in codec or usual] if own else []
    if speed_only:
        shapes = [Shape(each, kv_heads, head_dim, getattr(torch, dtype)) for each in tokens or _SPEED_TOKENS]
        speeds = _measure_speed(parsed, shapes, budget_s)
        if file is not None:
            file.write_text(json.dumps([asdict(speed) for speed in speeds], indent=2) + "\n", encoding="utf-8")
        Console().print(_speed_table(speeds))
        return
    _show(_measure_quality(model, tokens or _QUALITY_TOKENS, documents, data, parsed, peers, budget_s, file), plot)


def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="of `codec bench --json`; a later row counts")],
    file: JsonOption = None,
    plot: PlotOption = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables into this file.", callback=writable)] = None,
) -> None:
    """Put the rows of several runs together: tables, one file, one plot."""
    from bench.results import read, text_of
    from bench.tables import markdown as tables

    results = read(files)
    if file is not None:
        file.write_text(text_of(results), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(tables(results), encoding="utf-8")
    _show(results, plot)


def peers(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="default: all")] = None,
) -> None:
    """Install other projects' codecs, each into an environment of its own under the model store, for bench --peers."""
    from bench.peers.catalog import PEERS, peer
    from bench.peers.environments import install
    from kvwire.models.store import default_home

    for each in [peer(name) for name in names] if names else PEERS:
        sys.stderr.write(f"{each.name} {each.version} ...\n")
        print(install(each, default_home()))


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
    peers: bool,
    budget_s: float,
    file: Path | None,
) -> "list[Result]":
    from bench.documents import documents
    from bench.results import text_of
    from bench.run import Run, engine_of
    from kvwire.models.store import ModelStore

    runs: list[Run] = []

    def kept() -> "list[Result]":
        results = [result for run in runs for result in run.results]
        if file is not None:
            file.write_text(text_of(results), encoding="utf-8")
        return results

    try:
        for name in models:
            stored = ModelStore().pull(name)
            engine = engine_of(stored)
            with _candidates(specs, engine, stored, peers) as candidates:
                for tokens in lengths:
                    run = Run(engine, name, tokens, candidates, budget_s)
                    runs.append(run)
                    for document in documents(count, tokens, engine.prompts, data):
                        run.measure(document, lambda line: sys.stderr.write(f"{line}\n"))
                        kept()
    except KeyboardInterrupt:
        sys.stderr.write(_STOPPED)
    return kept()


@contextmanager
def _candidates(
    specs: "Sequence[CodecSpec]", engine: "Engine", stored: "StoredModel", peers: bool
) -> "Iterator[list[Candidate]]":
    from bench.candidate import OwnCodec
    from bench.peers.candidate import peer_codecs
    from codec.calibrations import Calibrations
    from kvwire.models.store import default_home

    calibrations = Calibrations(default_home() / "calibrations")
    own: list[Candidate] = [OwnCodec(spec, calibrations, engine) for spec in specs]
    if not peers:
        yield own
        return
    with peer_codecs(default_home(), stored.path) as others:
        yield [*own, *others]


def _show(results: "Sequence[Result]", plot: Path | None) -> None:
    from bench.plot import plot as drawn
    from bench.row import Row
    from bench.tables import by_place

    for place, those in by_place(results).items():
        Console().print(_quality_table(place, those))
    if plot is not None:
        plot.write_text(drawn([result for result in results if isinstance(result, Row)]), encoding="utf-8")


def _quality_table(title: str, results: "Sequence[Result]") -> Table:
    from bench.row import Absent, name_of
    from bench.tables import absences

    caption = "KL: nats per token. GB/s: encode, decode, plain copy; of bfloat16, best run"
    lines = "\n".join([caption, *map(escape, absences(results))])
    table = Table(box=SIMPLE_HEAD, title=title, caption=lines, pad_edge=False, collapse_padding=True)
    table.add_column("codec", overflow="fold")
    for column in ("bits", "KL", "95 %", "top-1", "GB/s"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in results:
        if isinstance(row, Absent):
            continue
        low, high = row.kl_ci95
        table.add_row(
            *(str(name_of(row)), f"{row.bits_per_value:.2f}", f"{row.kl:.4f}", f"{low:.4f}-{high:.4f}"),
            *(f"{row.top1:.1%}", f"{row.encode_gbps:.2f} {row.decode_gbps:.2f} {row.copy_gbps:4.1f}"),
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
