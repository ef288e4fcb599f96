"""Where the time to the first token goes on a device, by codec and length of the context.

``python -m bench.services.devices --device cuda --dtype bfloat16 --json FILE``. Requests go to a real pair one at a
time, ways by turns. ``--shape`` takes a model of that architecture's sizes with random weights and the tokenizer of
``--model``: seconds and bytes are those of the real one, but for what ``entropy`` and ``rd`` make of its numbers;
answers mean nothing.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from transformers import AutoModelForCausalLM, PretrainedConfig, Qwen3Config

from bench.services.facts import PROMPT
from bench.services.growth import contexts
from kvwire.client import Client, Generation
from kvwire.models.load import load_tokenizer
from kvwire.models.store import ModelStore
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, TokenIds

LENGTHS = (512, 2048)
READ = "receiver_reads"
WAYS = (READ, "fp16", "int8", "int4", "int4+entropy=zstd")
_NEW_TOKENS = 2
#: Of a report, what a table shows: by service and name.
STAGES = (
    "sharer prefill", "sharer encode", "sharer backpressure", "receiver decode_frames", "receiver place",
    "receiver prefill",
)  # fmt: skip

#: Sizes of published models; each from the config.json of that name's page on the hub.
SHAPES: Mapping[str, PretrainedConfig] = {
    "qwen3-0.6b": Qwen3Config(
        vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ),
    "qwen3-4b": Qwen3Config(
        vocab_size=151_936, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One way to a first token: medians of rounds, in milliseconds; ``stages`` by service and name."""

    way: str
    context_tokens: int
    ttft_ms: float
    payload_bytes: int
    stages: dict[str, float]
    all_ttft_ms: list[float]


def random_model(shape: str, tokenizer_of: str, folder: Path, device: str) -> str:
    """Write a model of a shape with random weights, in bfloat16; returns its reference."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(SHAPES[shape], dtype=torch.bfloat16)
    model.save_pretrained(folder)
    load_tokenizer(ModelStore().pull(tokenizer_of)).save_pretrained(folder)
    return f"path:{folder}"


def request(way: str, context: TokenIds) -> GenerateRequest:
    """For a first token that comes by a codec's cache, or without one."""
    exchange = Exchange(Method.RECEIVER_READS) if way == READ else Exchange(Method.PREFIX, codec=way)
    return GenerateRequest(PROMPT, context, exchange, _NEW_TOKENS, ignore_eos=True)


async def measure(address: str, model: str, lengths: Sequence[int], ways: Sequence[str], rounds: int) -> list[Row]:
    """All ways by turns, each round about a context of its own.

    Raises:
        KvwireError: Whatever a service answered.
    """
    rows = []
    async with Client(address) as client:
        for length in lengths:
            found: dict[str, list[Generation]] = {way: [] for way in ways}
            for index, context in enumerate(contexts(model, length, rounds + 1)):
                for way in ways:
                    answer = await client.generate_all(request(way, context))
                    if index:  # the first round opens connections and compiles
                        found[way].append(answer)
            rows += [_row(way, length, answers) for way, answers in found.items()]
    return rows


def _row(way: str, tokens: int, answers: Sequence[Generation]) -> Row:
    times_ms = [1000 * each.first_token_s for each in answers]
    names = [(stage.side, stage.name) for stage in answers[0].report.stages]
    stages = {
        f"{side} {name}": 1000 * float(np.median([each.report.stage_s(name, side) or 0.0 for each in answers]))
        for side, name in names
    }
    sent = answers[0].report.bytes
    return Row(way, tokens, float(np.median(times_ms)), sent.payload_bytes if sent else 0, stages, times_ms)


def table(rows: Sequence[Row]) -> str:
    """In Markdown, milliseconds but for bytes; of a stage that a way has not, a dash."""
    lines = ["| tokens, way | first token | MB | " + " | ".join(STAGES) + " |", "|---|" + "---:|" * (2 + len(STAGES))]
    for row in rows:
        stages = (f"{row.stages[each]:.0f}" if each in row.stages else "-" for each in STAGES)
        first = f"{row.context_tokens:,}, {row.way} | {row.ttft_ms:.0f} | {row.payload_bytes / 1e6:.1f}"
        lines.append(f"| {first} | {' | '.join(stages)} |")
    return "\n".join(lines) + "\n"


def main(
    json_file: Annotated[Path, typer.Option("--json", help="all rows, with what they were measured on")],
    model: Annotated[str, typer.Option(help="of both services; of a shape, its tokenizer")] = "smollm2-135m",
    shape: Annotated[str, typer.Option(help="random weights in these sizes: " + ", ".join(SHAPES))] = "",
    device: Annotated[str, typer.Option(help="of both services")] = "cpu",
    dtype: Annotated[str, typer.Option(help="of both models' weights")] = "float32",
    length: Annotated[list[int] | None, typer.Option(help="of the context, in tokens; may be repeated")] = None,
    way: Annotated[list[str] | None, typer.Option(help=f"{READ} or a codec spec; may be repeated")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Measure, write, print."""
    lengths, ways = tuple(length or LENGTHS), tuple(way or WAYS)
    with tempfile.TemporaryDirectory() as folder:
        reference = random_model(shape, model, Path(folder), device) if shape else model
        limits = ["--max-tokens", str(max(4096, 2 * max(lengths)))]
        arguments = ["--device", device, "--dtype", dtype, "--log-level", "warning", *limits]
        accepts = ["--max-cache-bytes", str(1 << 34)]  # twice what fp16 of 8,192 tokens of the largest takes
        with running_pair(Pair(reference, reference), arguments, receiver_arguments=accepts) as (_, receiver):
            rows = asyncio.run(measure(receiver.address, model, lengths, ways, rounds))
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    about = {"model": model, "shape": shape, "device": name, "dtype": dtype, "torch": torch.__version__}
    json_file.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n", "utf-8")
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    typer.run(main)
