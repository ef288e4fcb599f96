"""A thousand faults against one pair: nothing of them is kept."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.services.faults.cases import Effect, cases
from bench.services.faults.laboratory import Laboratory, asked, laboratory
from bench.services.faults.resources import resources
from bench.services.scrape import Scrape
from bench.services.soak import Memory
from kvwire.requests import Method

#: Pools, channels and allocators fill.
WARM_UP, FAULTS = 100, 1000
DEADLINE_S = {effect: 0.3 if effect is Effect.STALLED else 8.0 for effect in Effect}


@pytest.fixture(scope="module")
def lab(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A pair whose Python takes its memory from the C heap too: one number counts all that is in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONMALLOC", "malloc")
        logs = tmp_path_factory.mktemp("logs")
        with laboratory(f"path:{tiny_llama}", logs, "--threads", "1", "--log-level", "warning") as found:
            yield found


@pytest.mark.slow
async def test_a_thousand_faults_leave_no_thread_file_socket_or_memory(lab):
    """Of all kinds, drawn at random; then the pair answers as before."""
    services = {"sharer": lab.sharer, "receiver": lab.receiver}
    kinds, random = list(cases()), Random(0)  # noqa: S311  # the same faults in every run
    memory = {name: Memory() for name in services}
    first = await lab.next_answer(0.0)
    for number in range(WARM_UP + FAULTS):
        if number == WARM_UP:
            assert (await lab.next_answer(10.0)).how == Method.PREFIX
            before = {name: resources(each.process.pid) for name, each in services.items()}
        case = random.choice(kinds)
        ended = await lab.hurt(case, asked(Method.PREFIX, case.policy, DEADLINE_S[case.effect]))
        # After too many faults in a row the sharer is not even asked for some seconds, whatever the case is about.
        left_alone = replace(case, effect=Effect.BROKEN, answer=False)
        assert ended.how in case.ends | left_alone.ends | {Effect.BROKEN.value}, (case, ended)
        for name, each in services.items():
            memory[name].at_s.append(time.monotonic())
            memory[name].bytes.append(Scrape.of(each.metrics).total("kvwire_heap_bytes"))
    last = await lab.next_answer(10.0)
    assert last.tokens == first.tokens
    assert await lab.idle(2.0) == ""
    found = {}
    end_s = time.monotonic() + 30.0  # gRPC takes idle threads back after some seconds
    while time.monotonic() < end_s:
        found = {name: resources(each.process.pid) for name, each in services.items()}
        if all(vars(found[name])[what] <= count for name in before for what, count in vars(before[name]).items()):
            break
    print("\n", before, found, {name: each.check(name).found for name, each in memory.items()})
    for name in services:
        for what, count in vars(before[name]).items():
            assert vars(found[name])[what] <= count, (name, what, before, found)
        flat = memory[name].check(name)
        assert flat.ok, flat
