"""How time and peak memory grow with the length of a context, and with how many are asked for at once.

``python -m bench.services.growth --json FILE --plot FILE.svg``; ``--over length`` or ``concurrency`` measures one
and leaves the other's rows in the file. Every row has a pair of services of its own, so that none inherits another's
heap. Method ``prefix``, int8, answers of 16 tokens; memory is above what a pair holds that has answered once.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from bench.services.facts import PROMPT, facts
from bench.services.resident import peak_bytes, reset_peak, resident_bytes
from kvwire.client import Client, Generation
from kvwire.models.load import load_tokenizer
from kvwire.models.store import ModelStore
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, TokenIds

LENGTHS = (128, 256, 512, 1024, 2048, 4096)
CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
#: Tokens of each context when many are asked for at once.
_SHORT_CONTEXT = 128
_NEW_TOKENS = 16
#: Contexts begin so many tokens apart, so that no two are alike.
_APART = 7
#: Draws of rounds for an interval.
_RESAMPLES = 10_000
#: About so many characters make a token; a few more are cut off.
_CHARACTERS_PER_TOKEN = 6


@dataclass(frozen=True)
class Row:
    """One load, asked for in rounds; a round's time is the median of its requests', memory the peak of all rounds."""

    context_tokens: int
    concurrency: int
    first_token_s: list[float]
    total_s: list[float]
    sharer_bytes: int
    receiver_bytes: int


def contexts(model: str, tokens: int, count: int) -> list[TokenIds]:
    """So many texts of so many tokens."""
    tokenizer = load_tokenizer(ModelStore().pull(model))
    text = facts(_CHARACTERS_PER_TOKEN * (tokens + _APART * count))
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return [TokenIds(tuple(ids[_APART * index :][:tokens])) for index in range(count)]


def measure(model: str, tokens: int, concurrency: int, rounds: int) -> Row:
    """One row, on a pair of services of its own.

    Raises:
        KvwireError: Whatever a service answered.
    """
    asked = contexts(model, tokens, concurrency)
    # Longest sequence and places for what is asked; threads and memory as services are shipped.
    limits = ["--max-tokens", str(max(4096, 2 * tokens)), "--max-in-flight", str(max(CONCURRENCY))]
    with running_pair(Pair(model, model), ["--log-level", "warning", *limits]) as services:
        address = services[1].address
        asyncio.run(_ask(address, [TokenIds(asked[0].ids[:8])]))
        rest = [resident_bytes(service) for service in services]
        for service in services:
            reset_peak(service)
        found = [asyncio.run(_ask(address, asked)) for _ in range(rounds)]
        sharer, receiver = (peak_bytes(service) - own for service, own in zip(services, rest, strict=True))
    first_s = [float(np.median([each.first_token_s for each in answers])) for answers in found]
    total_s = [float(np.median([each.total_s for each in answers])) for answers in found]
    return Row(tokens, concurrency, first_s, total_s, sharer, receiver)


async def _ask(address: str, asked: Sequence[TokenIds]) -> list[Generation]:
    """All at once."""
    exchange = Exchange(Method.PREFIX, codec="int8")
    async with Client(address) as client:
        await client.describe()
        requests = [GenerateRequest(PROMPT, each, exchange, _NEW_TOKENS, ignore_eos=True) for each in asked]
        return list(await asyncio.gather(*map(client.generate_all, requests)))


@dataclass(frozen=True)
class Exponent:
    """Of a power law through measured points, with its 95 % interval."""

    value: float
    low: float
    high: float


def exponent(sizes: Sequence[int], found: Sequence[Sequence[float]]) -> Exponent:
    """Slope of the line through the medians, log over log; its interval by drawing rounds anew (bootstrap)."""
    x = np.log(sizes)

    def slope(medians: np.ndarray) -> np.ndarray:
        return np.asarray(np.polyfit(x, np.log(medians), 1)[0])

    generator = np.random.default_rng(0)
    drawn = [np.median(generator.choice(each, (_RESAMPLES, len(each))), axis=1) for each in found]
    low, high = np.percentile(slope(np.stack(drawn)), (2.5, 97.5))
    return Exponent(float(slope(np.array([np.median(each) for each in found]))), float(low), float(high))


#: What is fitted: a row's values by name, a value per round, or the one peak.
QUANTITIES: dict[str, Callable[[Row], list[float]]] = {
    "time to first token": lambda row: row.first_token_s,
    "end to end": lambda row: row.total_s,
    "sharer's memory": lambda row: [float(row.sharer_bytes)],
    "receiver's memory": lambda row: [float(row.receiver_bytes)],
}


def size(over: str, row: Row) -> int:
    """What a row's growth is over."""
    return row.context_tokens if over == "length" else row.concurrency


def exponents(over: str, rows: Sequence[Row]) -> dict[str, Exponent]:
    """Of each quantity over all rows, and between the two largest."""
    sizes = [size(over, row) for row in rows]
    fitted = {name: exponent(sizes, [values(row) for row in rows]) for name, values in QUANTITIES.items()}
    last = {
        f"{name}, last doubling": exponent(sizes[-2:], [values(row) for row in rows[-2:]])
        for name, values in QUANTITIES.items()
    }
    return fitted | last


def main(
    json_file: Annotated[Path, typer.Option("--json", help="the rows, and what was fitted; added to if it is there")],
    over: Annotated[Literal["length", "concurrency", "both"], typer.Option(help="what grows")] = "both",
    model: Annotated[str, typer.Option(help="of both services")] = "smollm2-135m",
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="also draw all rows of the file here")] = None,
) -> None:
    """Measure, fit, print."""
    known = json.loads(json_file.read_text()) if json_file.exists() else {}
    loads = {
        "length": [(tokens, 1) for tokens in LENGTHS],
        "concurrency": [(_SHORT_CONTEXT, count) for count in CONCURRENCY],
    }
    for name in loads if over == "both" else [over]:
        rows = []
        for tokens, count in loads[name]:
            row = measure(model, tokens, count, rounds)
            rows.append(row)
            sys.stdout.write(
                f"{tokens} tokens, {count} at once: first token {1000 * np.median(row.first_token_s):.0f} ms, all "
                f"{1000 * np.median(row.total_s):.0f} ms, sharer +{row.sharer_bytes / 1e6:.0f} MB, receiver "
                f"+{row.receiver_bytes / 1e6:.0f} MB\n"
            )
            sys.stdout.flush()
        found = exponents(name, rows)
        for what, slope in found.items():
            sys.stdout.write(f"{what} over {name}: exponent {slope.value:.2f} ({slope.low:.2f} to {slope.high:.2f})\n")
        known[name] = {
            "rows": [asdict(row) for row in rows],
            "exponents": {what: asdict(slope) for what, slope in found.items()},
        }
        json_file.write_text(json.dumps({**known, "model": model}, indent=1) + "\n")
    if plot_file is not None:
        from bench.services.growth_plot import plot  # noqa: PLC0415  # it reads this module's rows

        plot_file.write_text(
            plot({name: [Row(**row) for row in known[name]["rows"]] for name in loads if name in known})
        )


if __name__ == "__main__":
    typer.run(main)
