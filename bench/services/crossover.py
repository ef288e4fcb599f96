"""Which way to a first token is the fastest: by the link, by the context, and by whether the sharer has read it before.

Links are such that the bytes of fp16 take so many times what the sharer's prefill takes. Every way is asked for by its
name, and then a policy whose target none can keep: the receiver takes the way that it forecasts to be the fastest.
``python -m bench.services.crossover``; codec ``rd`` needs the tables that ``kvwire codec calibrate`` makes.
"""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench.services.facts import PROMPT, facts
from bench.services.pipelining import Case, cases, receiver_behind_links
from kvwire.client import Client, Generation
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, Text

#: Wire time of fp16 over prefill time.
_RATIOS = (0.1, 0.3, 1.0, 3.0, 10.0)
#: Some 64, 256 and 1,024 of SmolLM2's tokens.
_CHARACTERS = (250, 1060, 4250)
_CODECS = ("fp16", "int8", "rd:bits=2")
#: Frames are kept when they are made for the second time.
_WARMING = 2
#: A way that is so many times slower than the fastest after so many rounds is not asked for again.
_HOPELESS, _SCREENED = 2.0, 3
_READING, _RELAY = "reading again", "text relay"
#: How much slower than the fastest a choice may be.
_NEAR = 1.05

#: Answers a question on a context.
Ask = Callable[[str, Exchange], Generation]


@dataclass
class Cell:
    """One link, one context, and a sharer that has or has not read it; times to first token in seconds, by way."""

    case: Case
    warm: bool
    ttft_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    chosen: list[str] = field(default_factory=list)
    policy_s: list[float] = field(default_factory=list)

    @property
    def medians_s(self) -> dict[str, float]:
        """Of every way."""
        return {way: float(np.median(times)) for way, times in self.ttft_s.items()}

    def hopeless(self, way: str) -> bool:
        """Whether a way need not be asked for again."""
        medians = self.medians_s
        return len(self.ttft_s[way]) >= _SCREENED and medians[way] > _HOPELESS * min(medians.values())

    def told(self) -> dict[str, object]:
        """Medians, who is the fastest, and how much slower what the policy chose is."""
        medians = self.medians_s
        fastest = min(medians, key=lambda way: medians[way])
        chosen_s = [medians.get(way, took) for way, took in zip(self.chosen, self.policy_s, strict=True)]
        return {
            "context_tokens": self.case.tokens,
            "wire_over_prefill": self.case.wire_over_prefill,
            "sharer": "warm" if self.warm else "cold",
            "ttft_s": medians,
            "rounds": {way: len(times) for way, times in self.ttft_s.items()},
            "fastest": fastest,
            "chosen": self.chosen,
            "chosen_over_fastest": float(np.median(chosen_s)) / medians[fastest],
            "policy_ttft_s": float(np.median(self.policy_s)),
        }


def _asking(address: str) -> Ask:
    async def ask(context: str, exchange: Exchange) -> Generation:
        async with Client(address) as client:
            await client.describe()
            return await client.generate_all(GenerateRequest(PROMPT, Text(context), exchange, 1))

    return lambda context, exchange: asyncio.run(ask(context, exchange))


class Round:
    """Asks for every way on one link and context."""

    def __init__(self, ask: Ask, case: Case) -> None:
        self._ask = ask
        self._case = case
        self._fresh = 0
        self.cold, self.warm = Cell(case, warm=False), Cell(case, warm=True)

    def warm_up(self) -> None:
        """Have the sharer keep the context as every codec's frames."""
        for codec in _CODECS:
            for _ in range(_WARMING):
                self._ask(self._case.context, self._by(codec))

    def run(self) -> None:
        """Every way once."""
        self._time(_RELAY, (self.cold, self.warm), Exchange(Method.TEXT, sharer=self._case.sharer))
        self._time(_READING, (self.cold, self.warm), Exchange(Method.RECEIVER_READS))
        for cell in (self.cold, self.warm):
            for codec in _CODECS:
                self._time(codec, (cell,), self._by(codec))
            answer = self._ask(self._context(cell), self._by("fp16", "ttft=1ms"))
            report = answer.report
            cell.chosen.append(_READING if report.path is Method.RECEIVER_READS else report.codec)
            cell.policy_s.append(answer.first_token_s)

    def _time(self, way: str, cells: Sequence[Cell], exchange: Exchange) -> None:
        """Once for all cells that it is the same for."""
        if not all(cell.hopeless(way) for cell in cells):
            first_token_s = self._ask(self._context(cells[-1]), exchange).first_token_s
            for cell in cells:
                cell.ttft_s[way].append(first_token_s)

    def forget(self) -> None:
        """Leave out what was measured so far."""
        self.cold, self.warm = Cell(self._case, warm=False), Cell(self._case, warm=True)

    def _context(self, cell: Cell) -> str:
        if cell.warm:
            return self._case.context
        self._fresh += 1
        return f"{self._case.sharer} {self._fresh}: {self._case.context}"

    def _by(self, codec: str, policy: str = "") -> Exchange:
        return Exchange(Method.PREFIX, sharer=self._case.sharer, codec=codec, policy=policy)


@contextmanager
def _rounds(model: str, device: str, threads: int) -> Iterator[list[Round]]:
    common = ["--device", device, "--threads", str(threads), "--log-level", "warning"]
    keeping = ["--reuse-bytes", str(2 * 1024**3)]
    with ExitStack() as stack:
        # Links are made by what a sharer that keeps nothing takes.
        with running_pair(Pair(model, model), common) as (_, direct):
            found = [case for each in _CHARACTERS for case in cases(direct.address, facts(each), _RATIOS)]
        services = running_pair(Pair(model, model), common, sharer_arguments=keeping)
        sharer, _ = stack.enter_context(services)
        receiver = stack.enter_context(receiver_behind_links(sharer.address, found, ["--model", model, *common]))
        yield [Round(_asking(receiver.address), case) for case in found]


def measure(model: str, rounds: int, device: str = "cpu", threads: int = 2) -> Iterator[dict[str, object]]:
    """After each round all cells, ``winners`` of at least one, and the share whose choice is ``near`` the fastest."""
    with _rounds(model, device, threads) as asked:
        for each in asked[:: len(_RATIOS)]:  # one sharer stands behind all links of a context
            each.warm_up()
        for index in range(rounds + 1):
            for each in asked:
                each.run()
                sys.stderr.write(f"round {index} of {rounds}: {each.cold.case.sharer}\n")
                if not index:  # the receiver learns
                    each.forget()
            if index:
                yield _map([cell.told() for each in asked for cell in (each.cold, each.warm)])


def _map(cells: Sequence[dict[str, object]]) -> dict[str, object]:
    near = [float(str(cell["chosen_over_fastest"])) <= _NEAR for cell in cells]
    return {"winners": sorted({str(cell["fastest"]) for cell in cells}), "near": float(np.mean(near)), "cells": cells}


def main(
    model: Annotated[str, typer.Option(help="of both services")] = "smollm2-135m",
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the map to this file, after every round")
    ] = None,
) -> None:
    """Print the map as JSON."""
    for found in measure(model, rounds):
        text = json.dumps(found, indent=1) + "\n"
        if json_file is not None:
            json_file.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    typer.run(main)
