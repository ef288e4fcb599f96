"""Method ``fuse``: all models read the same tokens and their caches are fused; the cache keeps its length."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from fuser.together import Together
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import new_report
from kvwire.requests import Method
from receiver_service.fuse_tokens import FusedTokens, Places, read_tokens
from receiver_service.receive import CacheIntake, Wanted
from receiver_service.received import Received
from receiver_service.source_layers import Sources


async def fuse(intakes: Sequence[CacheIntake], question: Question) -> Prepared:
    """Read all tokens but the last here, beside the sharers, and fuse their caches of the same tokens in.

    Raises:
        InvalidRequestError, InputTooLongError: Fewer than two tokens, or no chat where one is needed; too many.
        OverloadedError, DeadlineError: There is no memory for it, or not in time.
        KvwireError: What went wrong at a sharer or on the wire.
    """
    engine, worker = intakes[0].engine, intakes[0].worker
    task, watch = question.task, question.watch
    with watch.stage("tokenize"):
        rules = [each.fuser.alignment for each in intakes]
        tokens = await worker.run(lambda: read_tokens(engine, question, rules), task)
    read = len(tokens.body) + len(tokens.last)
    engine.check_length(read + question.reserve_tokens, "head, context, prompt and answer together")
    sources_bytes = [await each.sources_bytes(read, task) for each in intakes]
    await worker.make_room(question.bytes_of(engine, read) + sum(sources_bytes), task)
    cache = engine.new_cache(lambda *_: task.check())
    together = Together([each.fuser for each in intakes], cache, len(engine.card.layers), question.exchange.order)
    places = [Places(tokens, rule) for rule in rules]

    def prefill() -> None:
        with watch.stage("prefill"):
            engine.read(tokens.body, cache, 0)

    def arrived(sharer: int) -> Callable[[int, Sources], None]:
        return lambda target, sources: together.arrived(sharer, target, places[sharer].placed(sources))

    # The worker takes its work in order: no layer is fused before this cache is there.
    reading = asyncio.ensure_future(worker.run(prefill, task))
    try:
        with watch.stage("share"):
            shares = [_received(each, question, tokens, places[i], arrived(i)) for i, each in enumerate(intakes)]
            received = await _all(shares)
    finally:
        await reading

    report = new_report(engine, question, tokens.counts)
    for intake, each in zip(intakes, received, strict=True):
        report = each.into(report, intake.named) if each is not None else report
    return Prepared(cache, tokens.last, len(tokens.body), report)


async def _received(
    intake: CacheIntake,
    question: Question,
    tokens: FusedTokens,
    places: Places,
    ready: Callable[[int, Sources], None],
) -> Received | None:
    """One sharer's share; None where every gate of its fuser is closed and it is not asked."""
    if not intake.needed_layers:
        await intake.sharer(question.task)
        return None
    wanted = Wanted(Method.FUSE, tokens.context(intake.fuser.alignment), ())
    return await intake.receive(question, wanted, opened=places.opened, ready=ready)


async def _all(shares: Sequence[Coroutine[None, None, Received | None]]) -> list[Received | None]:
    """What all shares give; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(share) for share in shares]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
