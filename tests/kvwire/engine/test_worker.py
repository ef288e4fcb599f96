"""The compute thread: turns, limits, cancellation, back-pressure."""

import asyncio
import gc
import threading
import time

import pytest

from kvwire.engine.worker import Task, Worker, seen_out
from kvwire.errors import CancelledError, DeadlineError, OverloadedError


@pytest.fixture
def worker():
    made = Worker(max_in_flight=2)
    yield made
    made.close()


def begun(produce):
    """Work that emits, as a stream is begun with."""
    return lambda emit: lambda: produce(emit)


async def test_all_work_runs_on_one_thread_that_is_not_the_loops(worker):
    """Torch's pool belongs to the thread that uses it."""
    names = {await worker.run(lambda: threading.current_thread().name) for _ in range(5)}
    assert len(names) == 1
    assert threading.current_thread().name not in names


async def test_one_request_too_many_is_refused(worker):
    """The limit answers at once instead of queueing."""
    with worker.admit(Task()), worker.admit(Task()), pytest.raises(OverloadedError, match="the limit is 2"):
        worker.admit(Task())
    worker.admit(Task())


async def test_a_task_knows_how_long_it_waited_for_others_work(worker):
    """From being handed over until its own work began."""
    began, let, began_s = threading.Event(), threading.Event(), []
    other = asyncio.create_task(worker.run(lambda: (began.set(), let.wait(5))))
    await asyncio.to_thread(began.wait, 5)
    task, asked_s = Task(), time.monotonic()
    waiting = asyncio.create_task(worker.run(lambda: began_s.append(time.monotonic()), task))
    await asyncio.to_thread(lambda: None)  # the loop has handed the work over by then
    handed_s = time.monotonic()
    free_s, _ = await asyncio.to_thread(lambda: (time.monotonic(), let.set()))
    await asyncio.gather(other, waiting)
    assert 0 < free_s - handed_s <= task.waited_s <= began_s[0] - asked_s


async def test_a_cancelled_task_does_not_run(worker):
    """Work that still waits is skipped."""
    task = Task()
    task.cancel()
    with pytest.raises(CancelledError):
        await worker.run(lambda: pytest.fail("ran"), task)


async def test_a_task_past_its_deadline_does_not_run(worker):
    """The clock is the task's own."""
    with pytest.raises(DeadlineError):
        await worker.run(lambda: pytest.fail("ran"), Task(deadline_s=10.0, clock=lambda: 11.0))


async def test_a_stream_yields_what_is_emitted_in_order(worker):
    """More items than places wait their turn."""

    def produce(emit):
        for number in range(20):
            emit(number)

    assert [n async for n in worker.stream(begun(produce), Task(), depth=2)] == list(range(20))


async def test_a_slow_reader_holds_the_producer_up(worker):
    """No more than the given number of items wait unread."""
    emitted = []
    full = threading.Event()

    def produce(emit):
        for number in range(10):
            emit(number)
            emitted.append(number)
            if len(emitted) == 4:
                full.set()

    stream = worker.stream(begun(produce), Task(), depth=3)
    await anext(stream)
    while not full.is_set():
        await asyncio.to_thread(full.wait, 1)
    assert len(emitted) <= 5
    await stream.aclose()


async def test_a_reader_that_leaves_stops_the_producer(worker):
    """Closing the stream cancels the task, and the thread is free again."""

    def produce(emit):
        while True:
            emit(0)

    stream = worker.stream(begun(produce), Task(), depth=1)
    await anext(stream)
    await stream.aclose()
    assert await worker.run(lambda: "free") == "free"


async def test_who_is_cancelled_again_while_it_waits_for_work_to_stop_goes_on_waiting(worker):
    """Nothing computes any more once it has left, and asyncio has nothing to complain of."""
    complaints, began, let = [], threading.Event(), threading.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))

    def fails():
        began.set()
        let.wait(5)
        raise CancelledError("it was told to")

    async def stops():
        await seen_out(asyncio.create_task(worker.run(fails)))

    leaving = asyncio.create_task(stops())
    await asyncio.to_thread(began.wait, 5)
    for _ in range(2):
        leaving.cancel()
        await asyncio.wait([leaving], timeout=0)
        assert not leaving.done()
    let.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await worker.run(lambda: "free") == "free"
    gc.collect()
    assert complaints == []


async def test_a_stream_passes_the_producers_error_on(worker):
    """After what was emitted before it."""

    def produce(emit):
        emit(1)
        raise ValueError("broken")

    stream = worker.stream(begun(produce), Task(), depth=1)
    assert await anext(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        await anext(stream)


async def test_work_that_failed_before_its_stream_was_closed_is_nobodys_worry(worker):
    """Who closes it wants to know no more."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def produce(emit):
        emit(1)
        raise MemoryError("no room")

    stream = worker.stream(begun(produce), Task(), depth=2)
    await anext(stream)
    await worker.run(lambda: None)  # by then it has failed
    await stream.aclose()
    del stream
    gc.collect()
    assert not complaints
