"""Who could only miss its deadline behind what waits to be read is refused at once; nobody while no pace is known."""

import asyncio
import threading

import pytest

from kvwire.engine.backlog import Backlog
from kvwire.engine.worker import Task
from kvwire.errors import DeadlineError, FullError
from tests.clock import Clock


def read(backlog, clock, tokens, took_s):
    """A pass over so many tokens that takes so long."""
    with backlog.waiting(tokens) as waiting, backlog.reading([waiting]):
        clock.now_s += took_s


def stopped(clock, after_s):
    """What is in the middle of a pass ends it."""
    clock.now_s += after_s
    raise DeadlineError


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def backlog(clock):
    return Backlog(clock)


def test_nobody_is_refused_while_no_pace_is_known(backlog):
    """Not behind any number of tokens."""
    with backlog.waiting(1_000_000):
        backlog.check(0.001)


def test_who_has_less_time_than_the_wait_takes_is_refused_with_both(backlog, clock):
    """200 and 300 tokens wait; 500 took a second and another 500 three: 4 ms each."""
    read(backlog, clock, 500, 1.0)
    read(backlog, clock, 500, 3.0)
    with backlog.waiting(200), backlog.waiting(300):
        assert backlog.wait_s == 2.0
        backlog.check(None)
        backlog.check(2.0)
        with pytest.raises(FullError, match=r"500 tokens wait .* 2\.0 s .* deadline is in 1\.9 s"):
            backlog.check(1.9)
    backlog.check(0.0)


def test_what_is_being_read_is_waited_for_no_longer(backlog, clock):
    """How much of its pass is left nobody knows, so nobody is refused for it."""
    read(backlog, clock, 100, 1.0)
    with backlog.waiting(1000) as one, backlog.waiting(1000) as other, backlog.reading([one, other]):
        backlog.check(0.1)


def test_only_passes_that_tell_a_token_s_share_count_and_the_latest_of_them(backlog, clock):
    """A few tokens take as long as the weights do; a pass that failed was not all of one; old ones are forgotten."""
    read(backlog, clock, 1, 5.0)
    with backlog.waiting(500) as waiting, pytest.raises(DeadlineError), backlog.reading([waiting]):
        stopped(clock, after_s=60)
    with backlog.waiting(100):
        assert backlog.wait_s == 0.0
        read(backlog, clock, 100, 7.0)
        assert backlog.wait_s == pytest.approx(7.0)
        for _ in range(16):
            read(backlog, clock, 100, 1.0)
        assert backlog.wait_s == pytest.approx(1.0)


async def test_a_worker_admits_nobody_who_could_only_miss_its_deadline(worker):
    """Behind work that says what it reads, until that begins; who has time is admitted, and who has no deadline."""
    began, let = threading.Event(), threading.Event()
    worker.backlog._passes.append((100, 10.0))
    running = asyncio.create_task(worker.run(lambda: (began.set(), let.wait(5)), reads=10_000))
    await asyncio.to_thread(began.wait, 5)
    waiting = asyncio.create_task(worker.run(lambda: None, reads=300))
    await asyncio.sleep(0)
    now_s = Task().clock()
    for deadline_s in (None, now_s + 60):
        with worker.admit(Task(deadline_s)):
            pass
    with pytest.raises(FullError, match=r"some 30\.0 s"):
        worker.admit(Task(now_s + 20))
    let.set()
    await asyncio.gather(running, waiting)
    with worker.admit(Task(now_s + 20)):
        pass


async def test_work_that_nobody_waits_for_any_more_holds_up_nobody(worker):
    """Its caller hung up."""
    let = threading.Event()
    running = asyncio.create_task(worker.run(lambda: let.wait(5)))
    waiting = asyncio.create_task(worker.run(lambda: None, reads=300))
    await asyncio.sleep(0)
    assert worker.backlog.tokens == 300
    waiting.cancel()
    await asyncio.wait([waiting])
    assert worker.backlog.tokens == 0
    let.set()
    await running
