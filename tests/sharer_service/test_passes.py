"""Contexts that wait are read in one pass; each ends, fails and is kept for itself."""

import weakref
from dataclasses import replace

import pytest
import torch

from codec.codec import decode_layer
from codec.frame import Limits
from kvwire.engine.backlog import Backlog
from kvwire.engine.worker import Task
from kvwire.errors import CancelledError
from sharer_service.kept import KeptCaches
from sharer_service.prefill import Prefiller
from tests.sharer_service.jobs import frames, job


def waiting(engine, *jobs, kept=0):
    prefiller = Prefiller(engine, KeptCaches(kept))
    for each in jobs:
        prefiller.enqueue(each)
    return prefiller


def test_contexts_read_in_one_pass_tell_one_pace(engine):
    """That of all their tokens, of which none is waited for any longer."""
    backlog = Backlog()
    with backlog.waiting(41) as one, backlog.waiting(31) as other:
        jobs = [replace(job(range(10, 10 + n))[0], waiting=each) for n, each in ((40, one), (30, other))]
        waiting(engine, *jobs).run(jobs[0])
        assert backlog.tokens == 0
    assert [tokens for tokens, _ in backlog._passes] == [72]


def passes(engine, monkeypatch):
    """How many sequences each pass reads."""
    seen, read, together = [], engine.read, engine.read_together
    monkeypatch.setattr(engine, "read", lambda *given: (seen.append(1), read(*given)))
    monkeypatch.setattr(engine, "read_together", lambda parts: (seen.append(len(parts)), together(parts)))
    return seen


def test_contexts_that_wait_are_read_in_one_pass_and_give_the_same_frames(engine, monkeypatch):
    """Of unlike lengths; as if each had been read alone, but for the last bits."""
    jobs = [job(range(10, 10 + length), spec="fp32") for length in (5, 20, 11)]
    alone = [frames(Prefiller(engine, KeptCaches(0)), "fp32", made.reading.key) for made, _ in jobs]
    seen = passes(engine, monkeypatch)
    prefiller = waiting(engine, *(made for made, _ in jobs))
    for made, _ in jobs:
        prefiller.run(made)
    assert seen == [3]
    for (_, sent), expected in zip(jobs, alone, strict=True):
        for frame, kv in zip(sent, expected, strict=True):
            found = decode_layer(frame.data, Limits())
            torch.testing.assert_close(found.keys, kv.keys, atol=1e-5, rtol=0)
            torch.testing.assert_close(found.values, kv.values, atol=1e-5, rtol=0)


def test_more_tokens_than_one_pass_takes_wait_for_the_next(engine, monkeypatch):
    """300 and 300 are two passes, 300 and 100 one."""
    jobs = [job([10] * length)[0] for length in (300, 300, 100)]
    seen = passes(engine, monkeypatch)
    prefiller = waiting(engine, *jobs)
    for each in jobs:
        prefiller.run(each)
    assert seen == [2, 1]


def test_one_that_is_cancelled_ends_alone(engine):
    """The others of the pass are sent whole."""
    cancelled = Task()
    cancelled.cancel()
    doomed, none = job(range(10, 20), task=cancelled)
    other, sent = job(range(10, 30))
    prefiller = waiting(engine, doomed, other)
    prefiller.run(other)
    assert (len(sent), len(none)) == (4, 0)
    with pytest.raises(CancelledError):
        prefiller.run(doomed)


def test_where_all_are_cancelled_the_pass_stops(engine):
    """Within a layer."""
    tasks = [Task(), Task()]
    jobs = [job(range(10, 20), task=task)[0] for task in tasks]
    for task in tasks:
        task.cancel()
    prefiller = waiting(engine, *jobs)
    for each in jobs:
        with pytest.raises(CancelledError):
            prefiller.run(each)


def test_a_pass_that_fails_fails_all_that_are_read_in_it(engine, monkeypatch):
    """None is read a second time: of some layers its frames are on their way."""
    jobs = [job(range(10, 10 + length)) for length in (10, 20)]

    def fails(parts):
        for layer in range(2):
            for part in parts:
                zeros = torch.zeros(2, len(part.tokens), 16)
                part.cache.listener(layer, zeros, zeros)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "read_together", fails)
    prefiller = waiting(engine, *(made for made, _ in jobs))
    for made, sent in jobs:
        with pytest.raises(RuntimeError, match="out of memory"):
            prefiller.run(made)
        assert [frame.layer for frame in sent] == [0, 1]


def test_nothing_is_left_of_one_whose_caller_went_before_its_turn(engine):
    """Too long to be read beside others, it would stay for ever."""
    gone = Task()
    gone.cancel()
    doomed, _ = job([10] * 600, task=gone)
    other, _ = job(range(10, 20))
    prefiller = waiting(engine, doomed, other)
    left = weakref.ref(doomed)
    del doomed
    prefiller.run(other)
    assert left() is None


def test_sent_frames_are_not_held_until_the_last_one(engine):
    """Together they may be as large as the cache."""
    sent, alive = [], []

    def emit(frame):
        sent.append(weakref.ref(frame))
        alive.append(sum(each() is not None for each in sent))

    made, _ = job(range(10, 30))
    Prefiller(engine, KeptCaches(0)).run(replace(made, emit=emit))
    assert alive == [1, 1, 1, 1]


def test_a_context_whose_attention_is_observed_is_read_alone(engine, monkeypatch):
    """And so is one that is kept."""
    ranked, _ = job(range(10, 30), spec="int8+keep=0.5,by=attention")
    plain, sent = job(range(10, 20))
    seen = passes(engine, monkeypatch)
    prefiller = waiting(engine, ranked, plain)
    prefiller.run(ranked)
    prefiller.run(plain)
    assert seen == [1, 1]
    assert len(sent) == 4


def test_contexts_read_together_are_kept_each_for_itself(engine, monkeypatch):
    """And found again by their callers."""
    jobs = [job(range(10, 20), caller)[0] for caller in ("mia", "tom")]
    prefiller = waiting(engine, *jobs, kept=1 << 30)
    for each in jobs:
        prefiller.run(each)
    monkeypatch.setattr(engine, "read", None)  # calling it would fail
    again, sent = job(range(10, 20), "tom")
    prefiller.enqueue(again)
    prefiller.run(again)
    assert len(sent) == 4
