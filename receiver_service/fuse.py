"""Method ``fuse``: all models read the same tokens and their caches are fused; the cache keeps its length."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TypeVar

from fuser.together import Together
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import new_report
from kvwire.errors import SpoiledError
from kvwire.report import Report
from kvwire.requests import FaultPolicy, Method
from receiver_service.fuse_tokens import FusedTokens, Places, read_tokens
from receiver_service.receive import CacheIntake, Wanted
from receiver_service.received import Lost, Received
from receiver_service.source_layers import Sources
from receiver_service.tries import FAULTS

T = TypeVar("T")


async def fuse(intakes: Sequence[CacheIntake], question: Question) -> Prepared:
    """Read all tokens but the last here, beside the sharers, and fuse their caches of the same tokens in.

    Under policy ``partial`` a layer whose sources do not come stays as it is. Without any, this is what the receiver
    reads itself.

    Raises:
        InvalidRequestError, InputTooLongError: Fewer than two tokens, or no chat where one is needed; too many.
        FullError, DeadlineError: There is no memory for it, or not in time.
        KvwireError: What went wrong at a sharer or on the wire.
    """
    engine, worker = intakes[0].engine, intakes[0].worker
    task, watch = question.task, question.watch
    with watch.stage("tokenize"):
        rules = [each.fuser.alignment for each in intakes]
        tokens = await worker.run(lambda: read_tokens(engine, question, rules), task)
    read = len(tokens.body) + len(tokens.last)
    engine.check_length(read + question.reserve_tokens, "head, context, prompt and answer together")
    awaited = [await _of(question, each, each.sources_bytes(read)) for each in intakes]
    sources_bytes = sum(each for each in awaited if isinstance(each, int))
    await worker.make_room(question.bytes_of(engine, read) + sources_bytes, task)
    cache = engine.new_cache(lambda *_: task.check())
    together = Together([each.fuser for each in intakes], cache, len(engine.card.layers), question.exchange.order)
    places = [Places(tokens, rule) for rule in rules]

    def prefill() -> None:
        with watch.stage("prefill"):
            engine.read(tokens.body, cache, 0)

    def arrived(sharer: int) -> Callable[[int, Sources], None]:
        return lambda target, sources: together.arrived(sharer, target, places[sharer].placed(sources))

    async def received(sharer: int) -> Received | Lost | None:
        found: int | Received | Lost | None = awaited[sharer]
        if not isinstance(found, Lost):
            intake = intakes[sharer]
            share = _received(intake, question, tokens, places[sharer], arrived(sharer))
            found = await _of(question, intake, share)
        if isinstance(found, Lost) or (found is not None and found.missing):
            await worker.run(lambda: together.ended(sharer), task)
        return found

    # The worker takes its work in order: no layer is fused before this cache is there.
    reading = asyncio.ensure_future(worker.run(prefill, task, reads=len(tokens.body)))
    try:
        with watch.stage("share"):
            outcomes = await _all([received(sharer) for sharer in range(len(intakes))])
    finally:
        await reading

    return Prepared(cache, tokens.last, len(tokens.body), _reported(intakes, outcomes, question, tokens))


def _reported(
    intakes: Sequence[CacheIntake], outcomes: Sequence[Received | Lost | None], question: Question, tokens: FusedTokens
) -> Report:
    """What came of each sharer that was asked."""
    report = new_report(intakes[0].engine, question, tokens.counts)
    for intake, each in zip(intakes, outcomes, strict=True):
        report = each.into(report, intake.named) if each is not None else report
    lost = all(isinstance(each, Lost) for each in outcomes)
    return replace(report, path=Method.RECEIVER_READS) if lost else report


async def _of(question: Question, intake: CacheIntake, got: Awaitable[T]) -> T | Lost:
    """What is got of a sharer; under policy ``partial`` it may be lost.

    Raises:
        SpoiledError: Nothing may be used, and some of it has been.
        KvwireError: The sharer failed, and the policy is another one, or the request's own time is up.
    """
    try:
        return await got
    except FAULTS as fault:
        if question.exchange.on_fault is not FaultPolicy.PARTIAL or isinstance(fault, SpoiledError):
            raise
        question.task.check()
        return Lost(len(intake.needed_layers), fault)


async def _received(
    intake: CacheIntake,
    question: Question,
    tokens: FusedTokens,
    places: Places,
    ready: Callable[[int, Sources], None],
) -> Received | None:
    """One sharer's share; None where every gate of its fuser is closed and it is not asked."""
    if not intake.needed_layers:
        return None
    wanted = Wanted(Method.FUSE, tokens.context(intake.fuser.alignment), ())
    return await intake.receive(question, wanted, opened=places.opened, ready=ready)


async def _all(shares: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """What all shares give; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(share) for share in shares]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
