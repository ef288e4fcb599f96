"""What waits together is read together, and each gets what it would get alone."""

import asyncio
import gc
import threading

import pytest
import torch

from kvwire.engine import reader as module
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reader import Reader
from kvwire.engine.streamed import StreamedRead
from kvwire.engine.worker import Task
from kvwire.errors import CancelledError, InvalidRequestError
from kvwire.progress import Stopwatch
from kvwire.report import Report
from kvwire.requests import Exchange, Method, RequestInfo, Text

TOKENS = tuple(torch.randint(4, 512, (60,), generator=torch.Generator().manual_seed(2)).tolist())


def question(task=None):
    watch = Stopwatch("receiver")
    return Question(RequestInfo(), None, Text("?"), Exchange(Method.RECEIVER_READS), 1, task or Task(), watch)


def prepared(engine, tokens, held=0):
    """Tokens to read behind the first ``held`` of them, which a cache holds already."""
    cache = engine.new_cache()
    engine.read(tokens[:held], cache, 0)
    report = Report("", Method.RECEIVER_READS, Method.RECEIVER_READS)
    return Prepared(cache, tokens[held:], held, report)


async def test_questions_that_wait_are_read_in_one_pass_as_each_would_be_alone(engine, worker, reference, monkeypatch):
    """Unlike lengths, with and without a cache before them; a pass takes as many as fit."""
    monkeypatch.setattr(module, "_TOKENS_TOGETHER", 50)
    passes = []
    together = engine.branch_logits
    monkeypatch.setattr(engine, "branch_logits", lambda parts: (passes.append(len(parts)), together(parts))[1])
    lengths = {10: 4, 30: 12, 25: 0, 60: 20}  # 6, 18 and 25 unread, then 40
    reader = Reader(engine, worker)
    starts = [prepared(engine, TOKENS[:length], held) for length, held in lengths.items()]
    found = await asyncio.gather(*(reader.read(each, question()) for each in starts))
    assert passes == [3]
    for length, ready in zip(lengths, found, strict=True):
        assert ready.position == length
        torch.testing.assert_close(ready.logits.double(), reference(list(TOKENS[:length]))[-1], atol=2e-4, rtol=0)


async def test_one_that_ended_or_has_nothing_to_read_does_not_keep_others_waiting(engine, worker):
    """Each has its own error."""
    ended = Task()
    ended.cancel()
    reader = Reader(engine, worker)
    found = await asyncio.gather(
        reader.read(prepared(engine, TOKENS[:5]), question(ended)),
        reader.read(prepared(engine, ()), question()),
        reader.read(prepared(engine, TOKENS[:7]), question()),
        return_exceptions=True,
    )
    assert [type(each) for each in found[:2]] == [CancelledError, InvalidRequestError]
    assert found[2].position == 7


async def test_a_pass_over_a_cache_that_still_comes_equals_one_over_all_of_it(engine, worker, reference):
    """A layer is read once it is there; what is placed meanwhile runs in the middle of the pass."""
    whole = prepared(engine, TOKENS, 40).cache
    cache, placed, layers = engine.new_cache(), set(), range(len(engine.card.layers))

    def place(layer):
        keys, values = whole.layer(layer)
        cache.place(layer, keys, values, torch.arange(40))
        placed.add(layer)

    async with StreamedRead(engine, worker, question(), cache, placed.__contains__) as streamed:
        streamed.begin(TOKENS[40:], 40)
        for layer in layers:
            await worker.run(lambda layer=layer: place(layer))
        logits = await streamed.logits()
    torch.testing.assert_close(logits.double(), reference(list(TOKENS))[-1], atol=2e-4, rtol=0)


async def test_a_pass_whose_cache_does_not_come_is_stopped_and_the_worker_free(engine, worker):
    """Whoever left it waiting need not end the request: it may be answered in another way."""
    own = question()
    async with StreamedRead(engine, worker, own, engine.new_cache(), lambda _: False) as streamed:
        streamed.begin(TOKENS[:3], 0)
        assert await worker.run(lambda: "others' work") == "others' work"
    with pytest.raises(CancelledError, match="will not come"):
        await streamed.logits()
    own.task.check()
    assert await worker.run(lambda: 1) == 1


async def test_who_is_cancelled_while_its_pass_stops_sees_it_out(engine, worker):
    """As when a service ends just after a caller hung up; how the pass ended is not left for asyncio to complain of."""
    complaints, waits, let = [], threading.Event(), threading.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))

    def there(_layer):
        waits.set()
        let.wait(5)
        return False

    async def reads():
        async with StreamedRead(engine, worker, question(), engine.new_cache(), there) as streamed:
            streamed.begin(TOKENS[:3], 0)
            await asyncio.Event().wait()

    leaving = asyncio.create_task(reads())
    await asyncio.to_thread(waits.wait, 5)
    for _ in range(2):
        leaving.cancel()
        await asyncio.wait([leaving], timeout=0)
    let.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await worker.run(lambda: None)
    gc.collect()
    assert complaints == []


async def test_a_pass_that_nobody_waits_for_any_more_stops_within_a_layer(engine, worker):
    """Of several: one that goes on keeps it going."""
    tasks, layers = [Task(), Task()], []
    starts = [prepared(engine, TOKENS[:10]), prepared(engine, TOKENS[:12])]
    place = starts[0].cache.place

    def placed(layer, *given):
        layers.append(layer)
        tasks[layer if layer < 2 else 0].cancel()  # the first hangs up in layer 0, the second in layer 1
        place(layer, *given)

    starts[0].cache.place = placed
    reader = Reader(engine, worker)
    asked = [reader.read(start, question(task)) for start, task in zip(starts, tasks, strict=True)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in found] == [CancelledError, CancelledError]
    assert layers == [0, 1]
