"""Time to first token of method ``prefix`` behind links, over the longest of its stages: what could not be overlapped.

The links' rates are such that the bytes take 0.3, 1 and 3 times what the sharer's prefill takes, which is measured
first. ``kvwire bench --part "one request behind links"``.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.services.facts import PROMPT, facts
from kvwire.client import Client, Generation
from kvwire.link.shape import Shape
from kvwire.processes import FREE_PORTS, Pair, RunningService, running_link, running_pair, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text

#: Wire time over prefill time.
_RATIOS = (0.3, 1.0, 3.0)
#: Some 512 and 1,024 of SmolLM2's tokens.
_CHARACTERS = (2150, 4250)
#: Requests by which a context's prefill is known before the links are made; the first one is not counted.
_FIRST = 4
_RECEIVERS_OWN = ("decode_frames", "place", "prompt")


@dataclass(frozen=True)
class Stages:
    """One request, in seconds: what its client saw, and the three stages of which the longest is the limit."""

    ttft_s: float
    prefill_s: float
    wire_s: float
    receiver_s: float

    @classmethod
    def of(cls, answer: Generation, rate_bytes_s: float) -> "Stages":
        """Of an answer that came over a link of a rate."""
        report = answer.report
        own_s = sum(report.stage_s(name, "receiver") or 0.0 for name in _RECEIVERS_OWN)
        payload_bytes = report.bytes.payload_bytes if report.bytes else 0
        prefill_s = report.stage_s("prefill", "sharer") or 0.0
        return cls(answer.first_token_s, prefill_s, payload_bytes / rate_bytes_s, own_s)

    @property
    def over_longest(self) -> float:
        """Time to first token over the longest stage."""
        return self.ttft_s / max(self.prefill_s, self.wire_s, self.receiver_s)


async def asked(address: str, context: str, sharer: str = "", codec: str = "fp16") -> Generation:
    """One token by method ``prefix``, on a connection that is open already."""
    async with Client(address) as client:
        await client.describe()
        exchange = Exchange(Method.PREFIX, sharer=sharer, codec=codec)
        return await client.generate_all(GenerateRequest(PROMPT, Text(context), exchange, 1))


@dataclass(frozen=True)
class Case:
    """A context, and the link over which its bytes take so many times what its prefill does."""

    context: str
    tokens: int
    wire_over_prefill: float
    rate_bytes_s: float

    @property
    def sharer(self) -> str:
        """What the receiver calls the sharer at the link's far end."""
        return f"{self.tokens}-{self.wire_over_prefill}"


def cases(address: str, context: str, ratios: Sequence[float] = _RATIOS) -> list[Case]:
    """The links for a context, by the prefill that a receiver without one sees."""
    answers = [asyncio.run(asked(address, context)) for _ in range(_FIRST)]
    stages = [Stages.of(each, 1.0) for each in answers[1:]]
    prefill_s, payload_bytes = float(np.median([each.prefill_s for each in stages])), stages[0].wire_s
    tokens = answers[0].report.tokens.context
    return [Case(context, tokens, ratio, payload_bytes / (ratio * prefill_s)) for ratio in ratios]


def measure(model: str, rounds: int, device: str = "cpu", threads: int = 2) -> dict[str, object]:
    """``ttft_over_longest_stage``, the worst median of all contexts and ratios, and all of them."""
    common = ["--device", device, "--threads", str(threads), "--log-level", "warning"]
    with ExitStack() as stack:
        sharer, direct = stack.enter_context(running_pair(Pair(model, model), common))
        found = {case: list[Stages]() for each in _CHARACTERS for case in cases(direct.address, facts(each))}
        receiver = stack.enter_context(receiver_behind_links(sharer.address, found, ["--model", model, *common]))
        for index in range(rounds + 1):
            for case, stages in found.items():
                answer = asyncio.run(asked(receiver.address, case.context, case.sharer))
                if index:  # the first round opens connections and faults memory in
                    stages.append(Stages.of(answer, case.rate_bytes_s))
    told = [_told(case, stages) for case, stages in found.items()]
    return {"ttft_over_longest_stage": max(each["ttft_over_longest_stage"] for each in told), "links": told}


@contextmanager
def receiver_behind_links(sharer: str, found: Iterable[Case], arguments: Sequence[str]) -> Iterator[RunningService]:
    """A receiver that knows the sharer by a name for each case, behind that case's link."""
    with ExitStack() as stack:
        links = [(each.sharer, running_link(sharer, Shape(each.rate_bytes_s))) for each in found]
        known = [f"{name}={stack.enter_context(link).address}" for name, link in links]
        named = [argument for each in known for argument in ("--sharers", each)]
        yield stack.enter_context(running_service("receiver_service", [*arguments, *FREE_PORTS, *named]))


def _told(case: Case, stages: Sequence[Stages]) -> dict[str, Any]:
    medians = {key: float(np.median([vars(each)[key] for each in stages])) for key in vars(stages[0])}
    return {
        "context_tokens": case.tokens,
        "wire_over_prefill": case.wire_over_prefill,
        "rate_bytes_s": case.rate_bytes_s,
        "ttft_over_longest_stage": float(np.median([each.over_longest for each in stages])),
        **medians,
        "rounds": [each.over_longest for each in stages],
    }
