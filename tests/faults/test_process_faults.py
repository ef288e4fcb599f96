"""Faults of processes and of their machine: killed, stopped, no descriptors, a full disk, no memory, a turned clock."""

import asyncio
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.services.faults.cases import Case, Effect, cases
from bench.services.faults.laboratory import Laboratory, asked, laboratory
from bench.services.faults.pump import Harm, Way
from bench.services.faults.resources import resources
from bench.services.faults.troubles import Sharer
from kvwire.processes import FREE_PORTS, free_port, running_service
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, RequestInfo, Text, TokenIds

pytestmark = pytest.mark.slow

DEADLINE_S, GRACE_S = 8.0, 1.0
POLICIES = sorted({case.policy for case in cases()})
ONE_THREAD = ("--threads", "1", "--log-level", "warning")
STAGES = {case.stage: case.harm for case in cases() if case.harm and not case.answer}
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


async def check(lab: Laboratory, case: Case, deadline_s: float = DEADLINE_S) -> None:
    """Ended as declared, in time, and nothing is left of it at the receiver."""
    ended = await lab.hurt(case, asked(Method.PREFIX, case.policy, deadline_s))
    assert ended.how in case.ends, ended
    assert ended.seconds <= deadline_s + GRACE_S


async def check_next(lab: Laboratory) -> None:
    """Once the fault is over."""
    after = await lab.next_answer(10.0)
    assert after.how == Method.PREFIX, after
    assert await lab.idle(GRACE_S) == ""


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_stopped_sharer_holds_nobody_up_beyond_the_deadline(lab, policy):
    """SIGSTOP: its sockets are open, and nothing comes."""

    async def stop(message, out):
        lab.sharer.process.send_signal(signal.SIGSTOP)
        await out.send(message)

    try:
        await check(lab, Case("request", "SIGSTOP", policy, Effect.STALLED, harm(Way.THERE, 0, stop)), 1.0)
    finally:
        lab.sharer.process.send_signal(signal.SIGCONT)
    await check_next(lab)


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_sharer_that_goes_on_in_time_is_waited_for(lab, policy):
    """SIGSTOP, and SIGCONT a little later."""

    async def pause(message, out):
        lab.sharer.process.send_signal(signal.SIGSTOP)
        asyncio.get_running_loop().call_later(0.2, lab.sharer.process.send_signal, signal.SIGCONT)
        await out.send(message)

    await check(lab, Case("request", "pause", policy, Effect.HARMLESS, harm(Way.THERE, 0, pause)))
    await check_next(lab)


def harm(way, index, hurt):
    return Harm(way, index, hurt, (b"Relay", b"Describe"))


@pytest.fixture(scope="module")
def mortal(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Laboratory, Sharer]]:
    """A receiver whose sharer may be killed and comes back at its address."""
    logs, addresses = tmp_path_factory.mktemp("logs"), [f"127.0.0.1:{free_port()}" for _ in range(3)]
    own = ["--model", f"path:{tiny_llama}", *ONE_THREAD]
    sharer = Sharer(own, addresses[0], addresses[1], logs / "sharer.log")
    reading = [*own, *FREE_PORTS, "--sharers", f"sharer={addresses[2]}"]
    with running_service("receiver_service", reading, logs / "receiver.log") as receiver:
        try:
            yield Laboratory(sharer.start(), receiver, addresses[2]), sharer
        finally:
            sharer.stop()


@pytest.mark.parametrize(("stage", "policy"), list(zip(STAGES, POLICIES * len(STAGES), strict=False)))
async def test_a_sharer_killed_at_any_stage_leaves_the_answer_to_the_policy(mortal, stage, policy):
    """Kill -9, and what its kernel held is lost with its machine; its successor is found."""
    lab, sharer = mortal
    lab = replace(lab, sharer=sharer.service)

    async def kill(message, out):
        del message
        lab.sharer.process.kill()
        await asyncio.to_thread(lab.sharer.process.wait)
        out.reset()

    at = STAGES[stage]
    case = Case(stage, "kill -9", policy, Effect.BROKEN, harm(at.way, at.index, kill))
    gone = frozenset({Effect.BROKEN.value}) if policy is FaultPolicy.TEXT else case.ends  # nobody writes a text either
    ended = await lab.hurt(case, asked(Method.PREFIX, policy, DEADLINE_S))
    assert ended.how in gone, ended
    assert ended.seconds <= DEADLINE_S + GRACE_S
    await asyncio.to_thread(sharer.stop)
    await check_next(replace(lab, sharer=await asyncio.to_thread(sharer.start)))


@contextmanager
def limited(pid: int, what: int, soft: int) -> Iterator[None]:
    """Another soft limit of a running process."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_sharer_without_descriptors_takes_nobody_in_and_recovers(lab, policy):
    """Connections wait at its door: in time the policy answers, or the deadline ends it."""
    assert (await lab.next_answer(10.0)).how == Method.PREFIX
    case = Case("connect", "no descriptors", policy, Effect.STALLED)
    either = case.ends | {Effect.BROKEN.value}
    held = resources(lab.sharer.process.pid)
    with limited(lab.sharer.process.pid, resource.RLIMIT_NOFILE, held.files + held.sockets - 1):
        ended = await lab.hurt(case, asked(Method.PREFIX, policy, 1.0))
    assert ended.how in either, ended
    assert ended.seconds <= 1.0 + GRACE_S
    await check_next(lab)


async def test_a_receiver_without_descriptors_answers_who_is_connected_and_recovers(lab):
    """Nothing of an answer needs a new one but the link."""
    held = resources(lab.receiver.process.pid)
    request = asked(Method.RECEIVER_ONLY, FaultPolicy.FAIL, 1.0)
    async with lab.client() as client:
        await client.describe()
        with limited(lab.receiver.process.pid, resource.RLIMIT_NOFILE, held.files + held.sockets - 1):
            assert (await client.generate_all(request)).report.path is Method.RECEIVER_ONLY
    await check_next(lab)


async def test_a_full_disk_costs_log_lines_and_no_answer(tiny_llama, tmp_path):
    """Where the log stands nothing more can be written; written again is what comes later."""
    with laboratory(f"path:{tiny_llama}", tmp_path, "--threads", "1") as lab:
        assert (await lab.next_answer(10.0)).how == Method.PREFIX
        log = tmp_path / "receiver.log"
        full = log.stat().st_size
        with limited(lab.receiver.process.pid, resource.RLIMIT_FSIZE, full):
            assert (await lab.next_answer(10.0)).how == Method.PREFIX
            assert log.stat().st_size == full
        await check_next(lab)
        assert log.stat().st_size > full


async def test_a_sharer_without_memory_for_a_context_refuses_it_and_the_policy_answers(tiny_llama, tmp_path):
    """Its ceiling holds for a context of 900 tokens; a short one is read."""
    exchange = Exchange(Method.PREFIX, codec="int8", on_fault=FaultPolicy.RECEIVER_ONLY)
    info = RequestInfo(deadline_ms=round(1000 * DEADLINE_S))
    request = GenerateRequest(
        Text("hello"), TokenIds(tuple(range(4, 454)) * 2), exchange, 4, ignore_eos=True, info=info
    )
    ceiling = ("--cache-memory-bytes", "1000000")
    with laboratory(f"path:{tiny_llama}", tmp_path, *ONE_THREAD, sharer_arguments=ceiling) as lab:
        async with lab.client() as client:
            report = (await client.generate_all(request)).report
        assert report.path is Method.RECEIVER_ONLY
        assert "sharer sharer at" in report.reason
        assert "this service has 1000000 for all" in report.reason
        await check_next(lab)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed here: no clock to turn")
@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_clock_that_jumps_changes_nothing(tiny_llama, tmp_path, monkeypatch, seconds):
    """The wall clock, as a correction by an hour does; deadlines go by the monotonic one."""
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", str(FAKETIME))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    with laboratory(f"path:{tiny_llama}", tmp_path, *ONE_THREAD) as lab:
        monkeypatch.delenv("LD_PRELOAD")
        before = await lab.next_answer(0.0)
        clock.write_text(f"{seconds:+d}\n")
        after = [await lab.next_answer(0.0) for _ in range(3)]
        assert [each.how for each in (before, *after)] == [Method.PREFIX] * 4
        assert {each.tokens for each in after} == {before.tokens}
        assert max(each.seconds for each in after) < DEADLINE_S
        stalled = next(case for case in cases() if (case.stage, case.fault, case.policy) == ("header", "stall", "fail"))
        await check(lab, stalled, 1.0)
        await check_next(lab)
