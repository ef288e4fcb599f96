"""The table: at which stage of a request, what happens to the wire, under which policy, and what has to come of it.

A fault befalls each try of a request at the same place. What is not in the table: a flipped bit of an answer. Only a
cache and the request for it have checksums of their own; the rest is the connection's to keep.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from bench.services.faults import doors, hurts
from bench.services.faults.doors import Door, open_door
from bench.services.faults.hurts import Hurt
from bench.services.faults.pump import Harm, Way
from bench.services.faults.relay import Relay
from kvwire.requests import FaultPolicy, Method

#: Layers of the tiny models: a cache comes as header, a message a layer, and trailer.
LAYERS = 4

#: Of four layers ``partial`` can do without none: it uses a cache whose end did not come, else it is as without one.
_FALLBACKS = {
    FaultPolicy.RECEIVER_ONLY: Method.RECEIVER_ONLY,
    FaultPolicy.PARTIAL: Method.RECEIVER_ONLY,
    FaultPolicy.TEXT: Method.TEXT,
}
#: Behind these stages a try leaves less to come than it met, so that later ones may pass the fault. How many there are
#: is up to what the sharer's budget of retries has left.
_HEALED = ("middle layer", "last layer", "trailer")

#: These calls of the sharer pass: what is hurt is the cache, not the text that a policy may ask for instead.
_SPARED = (b"Relay", b"Describe")


class Effect(Enum):
    """What a fault comes to: the status that policy ``fail`` ends with; none where the answer comes all the same."""

    HARMLESS = ""
    BROKEN = "UNAVAILABLE"
    DAMAGED = "DATA_LOSS"
    STALLED = "DEADLINE_EXCEEDED"


@dataclass(frozen=True)
class Case:
    """A fault at a stage under a policy, on the way to the sharer unless it says otherwise.

    ``door``: who connects to the sharer meets it; None: nobody listens. ``during``: done to the relay once the answer
    has begun. ``answer``: the harm is on the way to the receiver.
    """

    stage: str
    fault: str
    policy: FaultPolicy
    effect: Effect
    harm: Harm | None = None
    door: Door | None = open_door
    during: Callable[[Relay], None] | None = None
    answer: bool = False

    def __str__(self) -> str:
        return f"{self.stage}, {self.fault}, {self.policy}"

    @property
    def ends(self) -> frozenset[str]:
        """The ways it may end: a path that answers, or the status of an error."""
        if self.effect is Effect.HARMLESS:
            return frozenset({Method.PREFIX.value})
        fallback = _FALLBACKS.get(self.policy)
        no_text = self.door is not open_door and fallback is Method.TEXT
        ends = {self.effect.value if fallback is None or self.answer or no_text else fallback.value}
        late = self.effect is Effect.STALLED
        if late:  # a policy can only answer in what time is left
            ends.add(self.effect.value)
        if (self.stage in _HEALED and not late) or (self.stage == "trailer" and self.policy is FaultPolicy.PARTIAL):
            ends.add(Method.PREFIX.value)
        return frozenset(ends)


#: The message of the cache stream, or of its request, that a stage is about.
_STAGES = {
    "request": (Way.THERE, 0),
    "header": (Way.BACK, 0),
    "first layer": (Way.BACK, 1),
    "middle layer": (Way.BACK, LAYERS // 2),
    "last layer": (Way.BACK, LAYERS),
    "trailer": (Way.BACK, LAYERS + 1),
}
#: The message of an answer.
_ANSWER_STAGES = {"first token": 0, "answer stream": 2, "report": 4}

_FAULTS: dict[str, tuple[Hurt, Effect]] = {
    "delay": (hurts.delayed, Effect.HARMLESS),
    "throttle": (hurts.throttled, Effect.HARMLESS),
    "cut": (hurts.cut, Effect.BROKEN),
    "reset": (hurts.reset, Effect.BROKEN),
    "stall": (hurts.stalled, Effect.STALLED),
    "duplicate": (hurts.duplicated, Effect.DAMAGED),
    "reorder": (hurts.reordered, Effect.DAMAGED),
    "drop": (hurts.dropped, Effect.DAMAGED),
    "flip": (hurts.flipped, Effect.DAMAGED),
}
#: A request is one message: twice it is the same, and without it the sharer waits.
_OTHER_EFFECTS = {
    ("request", "duplicate"): Effect.HARMLESS,
    ("request", "reorder"): Effect.STALLED,
    ("request", "drop"): Effect.STALLED,
}
_ANSWER_FAULTS = ("delay", "throttle", "cut", "reset", "stall")

_DOORS: dict[str, tuple[Door | None, Effect]] = {
    "refused": (None, Effect.BROKEN),
    "closed": (doors.closed, Effect.BROKEN),
    "silent": (doors.silent, Effect.STALLED),
    "late": (doors.late, Effect.HARMLESS),
}
#: The cache is here; the sharer is not needed any more.
_DURING = {"cut": Relay.cut, "reset": Relay.reset, "stall": Relay.hold}


def cases() -> Iterator[Case]:
    """All of them, by the stages of a request in order."""
    for policy in FaultPolicy:
        for fault, (door, effect) in _DOORS.items():
            yield Case("connect", fault, policy, effect, door=door)
        for stage, (way, index) in _STAGES.items():
            for fault, (hurt, effect) in _FAULTS.items():
                found = _OTHER_EFFECTS.get((stage, fault), effect)
                yield Case(stage, fault, policy, found, Harm(way, index, hurt, _SPARED))
        for fault, act in _DURING.items():
            yield Case("decode", fault, policy, Effect.HARMLESS, during=act)
        for stage, index in _ANSWER_STAGES.items():
            for fault in _ANSWER_FAULTS:
                hurt, effect = _FAULTS[fault]
                yield Case(stage, fault, policy, effect, Harm(Way.BACK, index, hurt), answer=True)
