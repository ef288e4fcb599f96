"""Method ``fuse``: all models read the same tokens and their caches are fused; the cache keeps its length."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from fuser.together import Together
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import new_report
from kvwire.errors import InvalidRequestError
from kvwire.requests import Method, TokenCounts, TokenIds
from kvwire.stream import CacheHeader
from receiver_service.receive import CacheIntake, Sources, Wanted
from receiver_service.received import Received


async def fuse(intakes: Sequence[CacheIntake], question: Question) -> Prepared:
    """Read all tokens but the last here, beside the sharers, and fuse their caches of the same tokens in.

    Raises:
        InvalidRequestError, InputTooLongError: Fewer than two tokens; too many.
        KvwireError: What went wrong at a sharer or on the wire.
    """
    engine, worker = intakes[0].engine, intakes[0].worker
    task, watch = question.task, question.watch
    with watch.stage("tokenize"):
        tokens = await worker.run(lambda: engine.prompts.read(question.context, question.prompt), task)
    everything = tokens.head + tokens.context + tokens.prompt
    body, last = everything[:-1], everything[-1:]
    if not body:
        raise InvalidRequestError("method fuse needs at least two tokens: the last one is never fused")
    engine.check_length(tokens.total + question.reserve_tokens, "head, context, prompt and answer together")
    cache = engine.new_cache(lambda *_: task.check())
    together = Together([each.fuser for each in intakes], cache, len(engine.card.layers), question.exchange.order)
    wanted = Wanted(Method.FUSE, TokenIds(body), ())

    def prefill() -> None:
        with watch.stage("prefill"):
            engine.read(body, cache, 0)

    def arrived(sharer: int) -> Callable[[int, Sources], None]:
        return lambda target, sources: together.arrived(sharer, target, sources)

    # The worker takes its work in order: no layer is fused before this cache is there.
    reading = asyncio.ensure_future(worker.run(prefill, task))
    try:
        with watch.stage("share"):
            received = await _all([_received(each, question, wanted, arrived(i)) for i, each in enumerate(intakes)])
    finally:
        await reading

    counts = TokenCounts(head=len(tokens.head), context=len(tokens.context), prompt=len(tokens.prompt))
    report = new_report(engine, question, counts)
    for intake, each in zip(intakes, received, strict=True):
        report = each.into(report, intake.named) if each is not None else report
    return Prepared(cache, last, len(body), report)


async def _received(
    intake: CacheIntake, question: Question, wanted: Wanted, ready: Callable[[int, Sources], None]
) -> Received | None:
    """One sharer's share; None where every gate of its fuser is closed and it is not asked."""
    if not intake.needed_layers:
        await intake.sharer(question.task)
        return None
    return await intake.receive(question, wanted, opened=_nothing_to_do, ready=ready)


async def _nothing_to_do(_: CacheHeader) -> None:
    """The receiver's own prefill waits for no header."""


async def _all(shares: Sequence[Coroutine[None, None, Received | None]]) -> list[Received | None]:
    """What all shares give; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(share) for share in shares]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
