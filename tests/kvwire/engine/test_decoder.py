"""Answers that are written together are those that would be written alone."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
import torch

from kvwire.engine import decoder as decoder_module
from kvwire.engine import rows, written
from kvwire.engine.decoder import Decoder
from kvwire.engine.question import Begin
from kvwire.engine.worker import Task
from kvwire.errors import CancelledError
from kvwire.progress import Stopwatch
from tests.clock import Clock
from tests.kvwire.engine.conftest import begun

TOKENS = tuple(torch.randint(4, 512, (40,), generator=torch.Generator().manual_seed(1)).tolist())
NONE = frozenset[int]()


async def write(decoder, start, count, stop=NONE, task=None, watch=None):
    steps = decoder.steps(start, count, stop, task or Task(), watch or Stopwatch("receiver"))
    return [step async for step in steps]


async def all_of(steps):
    return [step async for step in steps]


async def test_every_decoding_step_equals_the_reference(engine, worker, reference):
    """Logits of 20 greedy steps of one answer, each against a full forward pass in float64."""
    read = list(TOKENS)
    for step in await write(Decoder(engine, worker), begun(engine, TOKENS), 20):
        expected = reference(read)[-1]
        torch.testing.assert_close(step.logits.double(), expected, atol=2e-4, rtol=0)
        assert step.logprob == pytest.approx(float(torch.log_softmax(expected, -1)[step.token_id]), abs=2e-4)
        read.append(step.token_id)
    assert len(read) == len(TOKENS) + 20


async def test_answers_of_unlike_lengths_written_together_equal_the_reference(engine, worker, reference, monkeypatch):
    """They join one after the other and end at different times; rows grow and change places meanwhile."""
    monkeypatch.setattr(rows, "ROOM_SLOTS", 2)
    decoder = Decoder(engine, worker)
    prompts = {3: 5, 40: 12, 17: 30, 9: 2, 25: 20}
    starts = [begun(engine, TOKENS[:length]) for length in prompts]
    found = await asyncio.gather(
        *(write(decoder, start, count) for start, count in zip(starts, prompts.values(), strict=True))
    )
    for (length, count), steps in zip(prompts.items(), found, strict=True):
        assert len(steps) == count
        read = list(TOKENS[:length])
        for step in steps:
            torch.testing.assert_close(step.logits.double(), reference(read)[-1], atol=2e-4, rtol=0)
            read.append(step.token_id)


@pytest.mark.parametrize("first_per_head", [False, True])
async def test_pruned_caches_are_written_on_beside_whole_ones(engine, worker, first_per_head):
    """Slots that differ from head to head and from layer to layer; alone and together give the same."""

    def pruned():
        start = begun(engine, TOKENS)
        cache = engine.new_cache()
        for layer in range(len(engine.card.layers)):
            keys, values = start.cache.layer(layer)
            kept = torch.stack([torch.arange(head, 40 - layer - 2 + head) for head in range(keys.shape[0])])
            heads = torch.arange(keys.shape[0])[:, None]
            cache.place(layer, keys[heads, kept], values[heads, kept], kept)
        return Begin(cache, start.logits, 40)

    def whole():
        return begun(engine, TOKENS[:21])

    starts = [pruned, whole] if first_per_head else [whole, pruned]
    alone = [await write(Decoder(engine, worker), start(), 10) for start in starts]
    decoder = Decoder(engine, worker)
    together = await asyncio.gather(*(write(decoder, start(), 10) for start in starts))
    for one, other in zip(alone, together, strict=True):
        assert [step.token_id for step in one] == [step.token_id for step in other]
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left.logits, right.logits, atol=1e-4, rtol=0)


async def test_passes_are_shared(engine, worker, monkeypatch):
    """Four answers of 11 tokens take some ten passes more than one, not four times as many."""
    passes = []
    once = engine.next_logits_of_rows
    monkeypatch.setattr(engine, "next_logits_of_rows", lambda *given: (passes.append(len(given[1])), once(*given))[1])
    decoder = Decoder(engine, worker)
    starts = [begun(engine, TOKENS[:9]) for _ in range(4)]
    await asyncio.gather(*(write(decoder, start, 11) for start in starts))
    assert sum(passes) == 40
    assert len(passes) <= 13


async def test_it_stops_before_a_stop_token(engine, worker):
    """Which ends the answer and is no part of it, be it the first token or a later one."""
    decoder = Decoder(engine, worker)
    free = [step.token_id for step in await write(decoder, begun(engine, TOKENS), 8)]
    stopped = [step.token_id for step in await write(decoder, begun(engine, TOKENS), 8, frozenset({free[3]}))]
    assert stopped == free[: free.index(free[3])]
    assert await write(decoder, begun(engine, TOKENS), 8, frozenset({free[0]})) == []


async def test_an_answer_nobody_reads_is_set_aside_and_goes_on_when_it_is_read(engine, worker, monkeypatch):
    """The others go on meanwhile, and nothing of it changes."""
    monkeypatch.setattr(written, "_UNREAD_STEPS", 3)
    decoder = Decoder(engine, worker)
    expected = [step.token_id for step in await write(decoder, begun(engine, TOKENS), 30)]
    slow = decoder.steps(begun(engine, TOKENS), 30, NONE, Task(), Stopwatch("receiver"))
    read = [await anext(slow), await anext(slow)]  # the second one of the passes
    other = await write(decoder, begun(engine, TOKENS[:7]), 40)
    assert len(other) == 40
    await decoder._running  # it ends: what is set aside holds no row
    read += [step async for step in slow]
    assert [step.token_id for step in read] == expected


async def test_one_that_is_cancelled_ends_and_the_others_do_not(engine, worker):
    """At the next pass."""
    decoder = Decoder(engine, worker)
    task = Task()
    doomed = decoder.steps(begun(engine, TOKENS), 100, NONE, task, Stopwatch("receiver"))
    await anext(doomed)
    other = asyncio.create_task(write(decoder, begun(engine, TOKENS[:7]), 20))
    task.cancel()
    with pytest.raises(CancelledError):
        _ = [step async for step in doomed]
    assert len(await other) == 20


async def test_a_pass_that_fails_ends_every_answer_with_its_error_and_the_next_one_works(engine, worker, monkeypatch):
    """Nobody waits for ever."""
    decoder = Decoder(engine, worker)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "next_logits_of_rows", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        found = await asyncio.gather(
            *(write(decoder, begun(engine, TOKENS[:n]), 5) for n in (5, 9)), return_exceptions=True
        )
    assert [str(each) for each in found] == ["no room", "no room"]
    assert len(await write(decoder, begun(engine, TOKENS), 5)) == 5


async def test_time_spent_in_passes_and_waiting_is_told(engine, worker):
    """As the stage ``decode``, and by the task."""
    watch, task = Stopwatch("receiver"), Task()
    await write(Decoder(engine, worker), begun(engine, TOKENS), 5, task=task, watch=watch)
    [decode] = [stage for stage in watch.stages() if stage.name == "decode"]
    assert decode.seconds > 0
    assert task.waited_s > 0


async def test_an_answer_that_is_read_to_its_end_while_it_is_set_aside_goes_on(engine, worker, monkeypatch):
    """Its cache is copied out of its row meanwhile, on the compute thread."""
    monkeypatch.setattr(written, "_UNREAD_STEPS", 3)
    copied, copying, read_up = rows.Rows.row, threading.Event(), threading.Event()

    def row(self, index):
        copying.set()
        read_up.wait(60)
        return copied(self, index)

    monkeypatch.setattr(rows.Rows, "row", row)
    slow = Decoder(engine, worker).steps(begun(engine, TOKENS), 30, NONE, Task(), Stopwatch("receiver"))
    read = [await anext(slow), await anext(slow)]  # the second one of the passes
    await asyncio.to_thread(copying.wait, 60)
    read += [await anext(slow) for _ in range(3)]
    rest = asyncio.create_task(all_of(slow))
    await asyncio.sleep(0)
    read_up.set()
    assert len(read) + len(await asyncio.wait_for(rest, 60)) == 30


async def test_time_that_an_answer_is_set_aside_is_no_wait_for_others(engine, worker, monkeypatch):
    """It waits for its own reader."""
    clock = Clock()
    monkeypatch.setattr(written, "_UNREAD_STEPS", 3)
    for module in (decoder_module, written):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock))
    decoder, task = Decoder(engine, worker), Task()
    slow = decoder.steps(begun(engine, TOKENS), 30, NONE, task, Stopwatch("receiver"))
    for _ in range(2):
        await anext(slow)
    await decoder._running
    clock.now_s += 3600
    await all_of(slow)
    assert task.waited_s < 3600


async def test_one_that_ended_is_told_so_even_if_the_pass_fails_then(engine, worker, monkeypatch):
    """Its row is gone by that time."""
    decoder, task, once = Decoder(engine, worker), Task(), engine.next_logits_of_rows
    doomed = decoder.steps(begun(engine, TOKENS), 100, NONE, task, Stopwatch("receiver"))
    other = decoder.steps(begun(engine, TOKENS[:7]), 100, NONE, Task(), Stopwatch("receiver"))
    for steps in (doomed, other):
        await anext(steps)
    await asyncio.gather(anext(doomed), anext(other))  # both have rows

    def fails_without_doomed(rows, tokens, positions):
        if len(tokens) < 2:
            raise MemoryError("no room")
        return once(rows, tokens, positions)

    monkeypatch.setattr(engine, "next_logits_of_rows", fails_without_doomed)
    task.cancel()
    with pytest.raises(CancelledError):
        await asyncio.wait_for(all_of(doomed), 60)
    with pytest.raises(MemoryError):
        await asyncio.wait_for(all_of(other), 60)
