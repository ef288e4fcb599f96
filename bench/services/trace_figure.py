"""Draws one request's trace, both services on one line of time: ``python -m bench.services.trace_figure FILE.svg``.

It starts a pair, asks once so that everything is warm, asks again, and draws what the services told a collector.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from bench.services.collector import Collector, Span, running_collector
from bench.services.drawing import standalone, text, time_grid
from bench.services.overhead import DEFAULT_PAIR, CodecOption, PairOption, pair_of
from experiments.report.axis import Axis
from kvwire.client import Client
from kvwire.processes import Pair
from kvwire.requests import Exchange, GenerateRequest, RequestInfo, Text
from loadtest.datasets import load

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR = 900, 190, 130, 66, 20, 12
_SHADES = {"call": 0.9, "whole": 0.6, "broken": 0.2, "layer": 1.0}
_STYLES = {"kvwire-receiver": "c0", "kvwire-sharer": "c1"}


def timeline(title: str, spans: list[Span]) -> str:
    """A standalone SVG of a trace: a row per call and stage, its layers as bars of their own.

    Both services must have run on one machine: their bars stand where its clock says.
    """
    collector = Collector(spans=spans)
    [root] = [each for each in spans if not each.parent]
    x = Axis(0.0, 1000 * root.seconds, _LEFT, _WIDTH - _RIGHT, log=False, text=lambda ms: f"{ms:.0f}")
    rows = list(_rows(collector, root))
    bottom = _TOP + _ROW * len(rows)
    parts = [text(10, 20, title, "title"), text(_WIDTH - _RIGHT + 10, _TOP - 12, "ms of work", "small")]
    parts += [text(_LEFT, 40, "ms since the call came; bars within a row are layers", "small")]
    parts += time_grid(x, _TOP, bottom, 12)
    for index, span in enumerate(rows):
        parts += _row(span, collector.children(span), x, root, _TOP + _ROW * index)
    return standalone(_WIDTH, bottom + 10, parts)


def _rows(collector: Collector, call: Span) -> Iterator[Span]:
    """A call, its stages, and then the calls it made, in the same way."""
    yield call
    children = collector.children(call)
    yield from (each for each in children if each.service == call.service)
    for other in children:
        if other.service != call.service:
            yield from _rows(collector, other)


def _row(span: Span, within: list[Span], x: Axis, root: Span, top: float) -> Iterator[str]:
    layers = [each for each in within if each.layer is not None]
    is_call = "rpc.method" in span.attributes
    spent_s, times = span.attributes.get("kvwire.spent_s", span.seconds), span.attributes.get("kvwire.times", 1)
    name = f"{span.service.removeprefix('kvwire-')}: {span.name.rpartition('/')[2]}" if is_call else span.name
    yield text(10 if is_call else 26, top + _BAR - 1, name, "title" if is_call else "")
    yield _bar(span, "call" if is_call else "whole" if times == 1 and not layers else "broken", x, root, top)
    for each in layers:
        yield _bar(each, "layer", x, root, top)
    worked = f"{1000 * spent_s:.1f}" + (f" in {times} times" if times > 1 else "")
    yield text(_WIDTH - _RIGHT + 10, top + _BAR - 1, worked, "small")


def _bar(span: Span, kind: str, x: Axis, root: Span, top: float) -> str:
    begun, ended = (x.at((at_ns - root.begun_ns) / 1e6) for at_ns in (span.begun_ns, span.ended_ns))
    told = f"{span.name}{'' if span.layer is None else f' {span.layer}'}: {1000 * span.seconds:.2f} ms"
    return (
        f'<rect class="{_STYLES[span.service]}" stroke="none" style="stroke:none" fill-opacity="{_SHADES[kind]}" '
        f'x="{begun:.1f}" y="{top}" width="{max(0.8, ended - begun):.1f}" height="{_BAR}">'
        f"<title>{escape(told)}</title></rect>"
    )


async def _ask(address: str, codec: str, context: str, max_new_tokens: int) -> None:
    async with Client(address) as client:
        for request_id in ("warm-up", "pictured"):
            info = RequestInfo(request_id)
            exchange = Exchange(codec=codec)
            await client.generate_all(
                GenerateRequest(Text("In short:"), Text(context), exchange, max_new_tokens, ignore_eos=True, info=info)
            )


def main(
    file: Annotated[Path, typer.Argument(help="the SVG to write")],
    pair: PairOption = DEFAULT_PAIR,
    codec: CodecOption = "int8",
    items: Annotated[int, typer.Option(min=1, help="contexts of the pocket dataset to send as one")] = 8,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 8,
) -> None:
    """Ask a warm pair once by method prefix and draw where the time went."""
    context = " ".join(str(item.context) for item in load("pocket", limit=items))
    with running_collector() as collector, tempfile.TemporaryDirectory() as logs:
        endpoint = ("--otlp-endpoint", collector.address)
        with pair_of("{}_service", Pair.parse(pair), "warning", Path(logs), *endpoint) as (_, receiver):
            asyncio.run(_ask(receiver.address, codec, context, max_new_tokens))
        [asked] = [each for each in collector.spans if each.attributes.get("kvwire.request_id") == "pictured"][-1:]
        spans = [each for each in collector.spans if each.trace == asked.trace]
    moved = asked.attributes["kvwire.payload_bytes"]
    file.write_text(timeline(f"One request by prefix, {pair}, {codec}: {moved} payload bytes", spans), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
