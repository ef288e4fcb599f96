"""Sharers, receivers and links put together, and requests played through them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from simpy import Environment

from simulation.choice import Choice, fewest, in_turn
from simulation.compute import Compute
from simulation.host import Host, Process
from simulation.link import Link, Path
from simulation.memory import Kept, Room
from simulation.receiver import Call, Outcome, Receiver
from simulation.requests import Request
from simulation.sharer import Sharer
from simulation.stream import Stream
from simulation.times import ServiceTimes


@dataclass(frozen=True)
class Limits:
    """Of each service, as it is started with them; by default with more memory than anybody takes."""

    max_in_flight: int = 16
    cache_memory_bytes: int = 1 << 50
    sharer_reuse_bytes: int = 0
    receiver_reuse_bytes: int = 0


@dataclass(frozen=True)
class Design:
    """How many of each, on one machine or each on its own, and how they are joined.

    Each service has a connection of ``rate_bytes_s`` in each direction; ``delay_s`` is one way from a sharer to a
    receiver. ``to_receivers`` and ``to_sharers`` choose who is asked, the latter for each receiver by its own calls.
    """

    sharers: int = 1
    receivers: int = 1
    one_machine: bool = False
    rate_bytes_s: float = float("inf")
    delay_s: float = 0.0
    limits: Limits = field(default_factory=Limits)
    to_receivers: Choice = in_turn
    to_sharers: Choice = fewest


@dataclass
class _ReceiverSide:
    """A receiver, its connection, and its own calls: in flight at each sharer, and so many ``asked``.

    Each begins to count at its own place, or all of them would ask one sharer at a time where they ask in turn.
    """

    receiver: Receiver
    incoming: Link
    calls: list[int]
    asked: int


@dataclass(frozen=True)
class Run:
    """Outcomes in the order of the requests, and what was used meanwhile; the last answer ended at ``seconds``."""

    outcomes: list[Outcome]
    seconds: float
    sharers: list[Sharer]
    receivers: list[Receiver]
    links: list[Link]


class System:
    """One system, before anything was asked."""

    def __init__(self, design: Design, times: ServiceTimes) -> None:
        self._env = env = Environment()
        self._design = design
        self._times = times
        shared = Host(env) if design.one_machine else None
        limits = design.limits

        def parts(slowdown: float, reuse_bytes: int) -> tuple[Compute, Room, Kept]:
            compute = Compute(env, shared or Host(env), slowdown if shared else 1.0)
            return compute, Room(env, limits.cache_memory_bytes), Kept(reuse_bytes)

        self._sharers = [
            Sharer(env, times, *parts(times.sharer.slowdown, limits.sharer_reuse_bytes)) for _ in range(design.sharers)
        ]
        self._outgoing = [Link(design.rate_bytes_s, design.delay_s) for _ in self._sharers]
        self._sides = [
            _ReceiverSide(
                Receiver(
                    env, times, *parts(times.receiver.slowdown, limits.receiver_reuse_bytes), limits.max_in_flight
                ),
                Link(design.rate_bytes_s),
                [0] * design.sharers,
                asked=place,
            )
            for place in range(design.receivers)
        ]

    def play(self, requests: Sequence[Request], told: Callable[[], None] = lambda: None) -> Run:
        """Have every request come when it is due, until the last is answered; ``told`` of each that was."""
        outcomes: list[Outcome | None] = [None] * len(requests)

        def one(index: int) -> Process:
            outcomes[index] = yield from self._answer(requests[index], index)
            told()

        def arrive() -> Process:
            answering = []
            for index, request in enumerate(requests):
                # Rounding may have put the clock behind a request that is due at the same moment as the one before.
                yield self._env.timeout(max(0.0, request.due_s - self._env.now))
                answering.append(self._env.process(one(index)))
            yield self._env.all_of(answering)

        self._env.run(until=self._env.process(arrive()))
        return Run(
            [outcome for outcome in outcomes if outcome is not None],
            self._env.now,
            self._sharers,
            [side.receiver for side in self._sides],
            [*self._outgoing, *(side.incoming for side in self._sides)],
        )

    def _answer(self, request: Request, index: int) -> Process:
        in_flight = [side.receiver.in_flight for side in self._sides]
        side = self._sides[self._design.to_receivers(in_flight, index, request)]

        def ask(request: Request) -> Call:
            place = self._design.to_sharers(side.calls, side.asked, request)
            side.asked += 1
            side.calls[place] += 1

            def ended() -> None:
                side.calls[place] -= 1

            path = Path((self._outgoing[place], side.incoming))
            stream = Stream(self._env, path, self._times.calls.window_bytes)
            return Call(self._sharers[place], stream, ended)

        return (yield from side.receiver.answer(request, ask))
