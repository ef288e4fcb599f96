"""Draws one request's stages layer by layer, on one line of time: ``python -m bench.services.timeline_figure``.

Sharer, link and receiver are processes of one machine, so that one clock tells all. The link's rate is such that the
bytes take as long as the prefill. What services told a collector is drawn; between those times stand

- prefill: from when the sharer was done with the layer before, or had the call, until it began to encode the layer;
- wire: from when a layer was encoded, or the one before had come, until the receiver began to decode it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from bench.services.collector import Collector, Span, running_collector
from bench.services.drawing import standalone, text, time_grid
from bench.services.facts import facts
from bench.services.pipelining import asked, cases, receiver_behind_links
from experiments.report.axis import Axis
from kvwire.processes import Pair, running_pair

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 900, 80, 20, 74, 12
_COLOURS = {"prefill": "c0", "encode": "c3", "wire": "c5", "decode_frames": "c1", "place": "c4", "prompt": "c2"}


@dataclass(frozen=True)
class Bar:
    """A stage of a layer, in milliseconds since the call came; the prompt is read by all layers at once."""

    stage: str
    layer: int | None
    begun_ms: float
    ended_ms: float


def bars(collector: Collector, call: Span) -> Iterator[Bar]:
    """What a trace of one request says of each layer."""

    def bar(stage: str, layer: int | None, begun_ns: int, ended_ns: int) -> Bar:
        return Bar(stage, layer, (begun_ns - call.begun_ns) / 1e6, (ended_ns - call.begun_ns) / 1e6)

    def layers(service: str, stage: str) -> list[Span]:
        return [each for each in collector.of(service, f"{stage} layer") if each.trace == call.trace]

    encoded, came = layers("kvwire-sharer", "encode"), layers("kvwire-receiver", "decode_frames")
    placed = layers("kvwire-receiver", "place")
    [share] = [each for each in collector.children(call) if each.service == "kvwire-sharer"]
    [prompt] = [each for each in collector.children(call) if each.name == "prompt"]
    done_ns, there_ns = share.begun_ns, 0
    for out, here in zip(encoded, came, strict=True):
        yield bar("prefill", out.layer, done_ns, out.begun_ns)
        yield bar("wire", out.layer, max(out.ended_ns, there_ns), here.begun_ns)
        done_ns, there_ns = out.ended_ns, here.begun_ns
    for each in (*encoded, *came, *placed):
        yield bar(each.name.removesuffix(" layer"), each.layer, each.begun_ns, each.ended_ns)
    yield bar("prompt", None, prompt.begun_ns, prompt.ended_ns)


def drawing(title: str, drawn: Sequence[Bar]) -> str:
    """A standalone SVG: a row per layer, time to the right."""
    rows = 1 + max(each.layer for each in drawn if each.layer is not None)
    end_ms = max(each.ended_ms for each in drawn)
    x = Axis(0.0, end_ms, _LEFT, _WIDTH - _RIGHT, log=False, text=lambda ms: f"{ms:.0f}")
    bottom = _TOP + _ROW * (rows + 1)
    parts = [text(10, 20, title, "title"), text(10, bottom - 3, "prompt"), text(10, _TOP + _ROW - 3, "layer 0")]
    parts += [text(10, bottom - _ROW - 3, f"layer {rows - 1}"), text(10, _TOP - 10, "ms", "small")]
    for index, (stage, colour) in enumerate(_COLOURS.items()):
        at = _LEFT + 125 * index
        parts += [_rectangle(colour, at, 34, 10, 10, stage), text(at + 15, 43, stage, "small")]
    parts += time_grid(x, _TOP, bottom, 10)
    for each in drawn:
        row = rows if each.layer is None else each.layer
        said = f"{each.stage}{'' if each.layer is None else f' {each.layer}'}: {each.ended_ms - each.begun_ms:.2f} ms"
        begun = x.at(each.begun_ms)
        width = max(0.8, x.at(each.ended_ms) - begun)
        parts.append(_rectangle(_COLOURS[each.stage], begun, _TOP + _ROW * row + 1, width, _ROW - 2, said))
    return standalone(_WIDTH, bottom + 10, parts)


def _rectangle(colour: str, x: float, y: float, width: float, height: float, said: str) -> str:
    return (
        f'<rect class="{colour}" style="stroke:none" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
        f"<title>{escape(said)}</title></rect>"
    )


def main(
    file: Annotated[Path, typer.Argument(help="the SVG to write")] = Path("docs/figures/timeline.svg"),
    model: Annotated[str, typer.Option(help="of both services")] = "smollm2-135m",
    characters: Annotated[int, typer.Option(min=1, help="of the context")] = 2150,
) -> None:
    """Ask twice behind a link on which the bytes take as long as the prefill, and draw the second request."""
    context = facts(characters)
    with running_collector() as collector:
        common = ["--log-level", "warning", "--otlp-endpoint", collector.address]
        with running_pair(Pair(model, model), common) as (sharer, direct):
            [case] = cases(direct.address, context, (1.0,))
            with receiver_behind_links(sharer.address, [case], ["--model", model, *common]) as receiver:
                for _ in range(2):
                    answer = asyncio.run(asked(receiver.address, context, case.sharer))
        calls = [
            each for each in collector.of("kvwire-receiver") if not each.parent and "kvwire.path" in each.attributes
        ]
        drawn = list(bars(collector, calls[-1]))
    moved = answer.report.bytes.payload_bytes if answer.report.bytes else 0
    said = (
        f"{case.tokens} tokens by prefix fp16, {moved:,} bytes over a link of {8 * case.rate_bytes_s / 1e6:.0f} Mbit/s"
    )
    file.write_text(drawing(f"One request, layer by layer: {model}, {said}", drawn), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
