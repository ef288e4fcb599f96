"""One load of requests, played through a running pair and through the simulation of one."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench.services.asker import Asker
from bench.services.processor import busiest_s, cpu_s_by_thread
from bench.services.service_times import MAX_IN_FLIGHT, Bench
from kvwire.client import Client
from kvwire.errors import KvwireError
from loadtest.arrivals import Load, schedule
from loadtest.capacity import Probe, capacity_rps, find_capacity
from loadtest.driver import Outcome
from loadtest.intervals import percentiles
from loadtest.load_progress import load_progress
from loadtest.open_loop import Sent, open_loop
from loadtest.scoring import ItemResult
from simulation.requests import Mix, Request
from simulation.summary import share_within
from simulation.system import Design, Limits, System
from simulation.times import ServiceTimes

#: Many lengths, all as often: of few, a percentile would stand at the edge between two and say little.
MIX = Mix(
    context_tokens=dict.fromkeys(range(32, 97, 8), 1.0),
    prompt_tokens=dict.fromkeys(range(8, 17, 2), 1.0),
    answer_tokens=dict.fromkeys(range(8, 17, 2), 1.0),
)
PAIR = Design(one_machine=True, limits=Limits(max_in_flight=MAX_IN_FLIGHT))
#: Seconds of arrivals of each probe, when the capacity is simulated.
_PROBED_S = 600.0


@dataclass(frozen=True)
class Played:
    """One load, measured or simulated: seconds of each answer, of the run, and CPU seconds of sharer and receiver."""

    first_token_s: list[float]
    total_s: list[float]
    run_s: float
    busy_s: tuple[float, float]

    @classmethod
    def joined(cls, rounds: Sequence["Played"]) -> "Played":
        """Several rounds as one."""
        return cls(
            [each for played in rounds for each in played.first_token_s],
            [each for played in rounds for each in played.total_s],
            sum(played.run_s for played in rounds),
            (sum(played.busy_s[0] for played in rounds), sum(played.busy_s[1] for played in rounds)),
        )

    def figures(self) -> dict[str, float]:
        """What is compared."""
        first, total = percentiles(self.first_token_s), percentiles(self.total_s)
        if first is None or total is None:
            return {}
        return {
            "answered_rps": len(self.total_s) / self.run_s,
            "ttft_p50_s": first.p50,
            "ttft_p95_s": first.p95,
            "e2e_p50_s": total.p50,
            "e2e_p95_s": total.p95,
            "sharer_busy": self.busy_s[0] / self.run_s,
            "receiver_busy": self.busy_s[1] / self.run_s,
        }


def requests(rate_rps: float, seconds: float, seed: int) -> list[Request]:
    """Poisson arrivals."""
    return MIX.requests(schedule(Load("poisson", rate_rps, seconds, seed=seed)), seed)


def simulated(times: ServiceTimes, asked: Sequence[Request]) -> Played:
    """Played through the model."""
    run = System(PAIR, times).play(asked)
    first_s = [each.first_token_s for each in run.outcomes if each.first_token_s is not None]
    total_s = [each.total_s for each in run.outcomes if each.total_s is not None]
    busy_s = (times.sharer.cpu_share * run.sharers[0].compute.work_s, run.receivers[0].compute.work_s)
    return Played(first_s, total_s, run.seconds, busy_s)


def capacity(times: ServiceTimes, ttft_s: float) -> float:
    """The highest rate at which 99 % of simulated first tokens come within a time."""

    def probe(rate_rps: float) -> Probe:
        outcomes = System(PAIR, times).play(requests(rate_rps, _PROBED_S, 0)).outcomes
        return Probe(rate_rps, share_within(outcomes, ttft_s), valid=True)

    return capacity_rps(list(find_capacity(probe, 0.5)))


async def measured(bench: Bench, asked: Sequence[Request], title: str) -> tuple[Played, list[Sent]]:
    """Played through the pair."""
    services = (bench.sharer, bench.receiver)
    async with Client(bench.receiver.address) as client:
        await _asking(client, bench.asker)(asked[0])  # opens connections, and counts for nothing
        before, begin_s = [cpu_s_by_thread(each) for each in services], time.monotonic()
        with load_progress(title, len(asked)) as told:
            due_s = [each.due_s for each in asked]
            sent = await open_loop(_asking(client, bench.asker), asked, due_s, begin_s, told)
        run_s = time.monotonic() - begin_s
        sharer_s, receiver_s = (busiest_s(*each) for each in zip(services, before, strict=True))
    answered = [each for each in sent if each.ok]
    first_s, total_s = [each.first_token_s for each in answered], [each.total_s for each in answered]
    return Played(first_s, total_s, run_s, (sharer_s, receiver_s)), sent


def _asking(client: Client, asker: Asker) -> Callable[[Request], Awaitable[Outcome]]:
    async def ask(request: Request) -> Outcome:
        name = str(request.context)
        asked = asker.request(request.context_tokens, request.prompt_tokens, request.answer_tokens)
        try:
            answer = await client.generate_all(asked)
        except KvwireError as error:
            return Outcome(ItemResult(name, 0, error=f"{type(error).__name__}: {error}"))
        return Outcome(ItemResult(name, 0), answer.report, answer.first_token_s, answer.total_s, answer.itl_s)

    return ask
