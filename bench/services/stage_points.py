"""Measured stages of single requests, and the service times that are fitted to them.

A request's report has the stages of both services by their own clocks; what lies between two clocks' stages, the calls
themselves, is the difference of two durations that enclose one another.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kvwire.client import Generation
from kvwire.errors import LocalError
from kvwire.report import Report
from simulation.curve import Curve, Fit, fit
from simulation.times import CallTimes, ReceiverTimes, ServiceTimes, Shape, SharerTimes, Sizes

#: A difference of two measured times can come out below 0; nothing takes no time at all.
_LEAST_S = 1e-6
#: Straight lines, but for passes in which attention's square begins to count.
_TERMS = {"prefill": 3, "encode_layer": 2, "decode_layer": 2, "place_layer": 2, "prompt": 2, "step": 2}


@dataclass
class Points:
    """Seconds against a count, such as tokens, by the stage's name; as many as were measured."""

    found: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def joined(cls, several: Iterable["Points"]) -> "Points":
        """All of several."""
        made = cls()
        for points in several:
            for name, found in points.found.items():
                made.found[name] += found
        return made

    def add(self, name: str, count: float, seconds: float) -> None:
        """One more."""
        self.found[name].append((count, max(seconds, _LEAST_S)))

    def medians(self, name: str) -> list[tuple[float, float]]:
        """One point for each count."""
        counts = sorted({count for count, _ in self.found[name]})
        return [(each, float(np.median([s for count, s in self.found[name] if count == each]))) for each in counts]

    def median(self, name: str) -> float:
        """Of all, whatever was counted."""
        return float(np.median([seconds for _, seconds in self.found[name]]))

    def fits(self) -> dict[str, Fit]:
        """The curve of each stage that has one."""
        return {name: fit(self.medians(name), terms) for name, terms in _TERMS.items()}

    def add_cache(self, report: Report, layers: int) -> None:
        """Of a cache that nothing was computed beside, and its prompt, which was read once all of it was there."""
        context = report.tokens.context
        decode_s, place_s = (_stage_s(report, name, "receiver") / layers for name in ("decode_frames", "place"))
        # With nobody slow behind it, what holds up a layer is that it is handed over.
        handed_s = _stage_s(report, "encode", "sharer") + _stage_s(report, "backpressure", "sharer")
        # The receiver's clock runs from before the sharer is called until the last layer is placed.
        between_s = _stage_s(report, "share", "receiver") - _stage_s(report, "share", "sharer")
        self.add("plan", context, _stage_s(report, "queue", "sharer"))
        done_s = _stage_s(report, "queue", "sharer") + _stage_s(report, "prefill", "sharer") + handed_s
        self.add("open", context, _stage_s(report, "share", "sharer") - done_s)
        self.add("prefill", context, _stage_s(report, "prefill", "sharer"))
        self.add("encode_layer", context, handed_s / layers)
        self.add("tokenize", context, _stage_s(report, "tokenize", "receiver"))
        self.add("decode_layer", context, decode_s)
        self.add("place_layer", context, place_s)
        self.add("prompt", report.tokens.prompt, _stage_s(report, "together", "receiver"))
        self.add("call_and_message", context, between_s - decode_s - place_s)

    def add_sequences(self, together: Sequence[Report], one: Report) -> None:
        """Of prompts that were read in one pass, and one that has as many tokens as all of them."""
        more_s = _stage_s(together[0], "together", "receiver") - _stage_s(one, "together", "receiver")
        self.add("prompt_sequence", len(together), more_s / (len(together) - 1))

    def add_sharer_cpu(self, reports: Iterable[Report], cpu_s: float) -> None:
        """CPU seconds of the thread that has read all these contexts, of the time that it had them."""
        stages = ("queue", "prefill", "encode", "backpressure")
        had_s = sum(_stage_s(report, name, "sharer") for report in reports for name in stages)
        self.add("sharer_cpu_share", 1, cpu_s / had_s)

    def add_kept(self, report: Report) -> None:
        """Of a cache whose frames the sharer keeps: what is left of its stream are a call and its messages."""
        own_s = sum(_stage_s(report, name, "receiver") for name in ("decode_frames", "place"))
        left_s = _stage_s(report, "share", "receiver") - _stage_s(report, "queue", "sharer") - own_s
        self.add("call_and_messages", report.tokens.context, left_s)

    def add_own(self, answer: Generation) -> None:
        """Of an answer without a cache that nothing ran beside: its first token, a step, the call."""
        report = answer.report
        read_s = _stage_s(report, "tokenize", "receiver") + _stage_s(report, "prefill", "receiver")
        first_s = _stage_s(report, "first_token", "receiver")
        self.add("first_token", 1, first_s - read_s)
        self.add("step", 1, float(np.mean(answer.itl_s[1:])))
        self.add("client", 1, answer.first_token_s - first_s)

    def add_steps(self, answers: Sequence[Generation]) -> None:
        """Of answers that were written together: the mean gap between their tokens, without those at either end."""
        for answer in answers:
            self.add("step", len(answers), float(np.mean(answer.itl_s[2:-2])))

    def slowdown(self, name: str) -> float:
        """How many times longer a stage takes while the other service computes.

        By turns: each reading beside it stands against one alone that was taken within seconds of it.
        """
        turns = zip(self.found[f"{name}_beside"], self.found[f"{name}_alone"], strict=True)
        return max(1.0, float(np.exp(np.mean([np.log(beside_s / alone_s) for (_, beside_s), (_, alone_s) in turns]))))


def sizes(reports: Sequence[Report]) -> Sizes:
    """The line through the payloads of the shortest and the longest context."""
    counted = sorted(((each.tokens.context, each.bytes) for each in reports), key=lambda each: each[0])
    (short, fewer), (long, more) = counted[0], counted[-1]
    if fewer is None or more is None or short == long:
        raise LocalError("two caches of different lengths are needed to tell their bytes; none were sent")
    each = (more.payload_bytes - fewer.payload_bytes) / (long - short)
    return Sizes(fewer.payload_bytes - each * short, each, more.grpc_bytes / more.payload_bytes - 1)


def service_times(
    points: Points, shape: Shape, size: Sizes, window_bytes: int, measured: dict[str, str]
) -> ServiceTimes:
    """What a simulation takes."""
    curve: dict[str, Curve] = {name: found.curve for name, found in points.fits().items()}
    once = {name: points.median(name) for name in ("plan", "open", "tokenize", "first_token", "turnover", "client")}
    # A call and one message are between the services' clocks where a layer at a time comes, a call and all of them
    # where nothing is computed.
    one_s, all_s = points.median("call_and_message"), points.median("call_and_messages")
    message_s = max(_LEAST_S, (all_s - one_s) / (shape.layers - 1))
    return ServiceTimes(
        measured,
        shape,
        size,
        SharerTimes(
            once["plan"],
            once["open"],
            curve["prefill"],
            curve["encode_layer"],
            points.slowdown("prefill"),
            points.median("sharer_cpu_share"),
        ),
        ReceiverTimes(
            once["tokenize"],
            curve["decode_layer"],
            curve["place_layer"],
            replace(curve["prompt"], sequence_s=points.median("prompt_sequence")),
            once["first_token"],
            curve["step"],
            # What passes around a first token comes between others' passes too, and is counted there.
            max(_LEAST_S, once["turnover"] - once["first_token"] / 2),
            points.slowdown("step"),
        ),
        CallTimes(once["client"], max(_LEAST_S, one_s - message_s), message_s, window_bytes),
    )


def _stage_s(report: Report, name: str, side: str) -> float:
    return report.stage_s(name, side) or 0.0
