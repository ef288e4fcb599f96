"""Method ``fuse``: both models read the same tokens and their caches are fused; the cache keeps its length."""

from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import new_report
from kvwire.errors import InvalidRequestError
from kvwire.requests import Method, TokenCounts, TokenIds
from kvwire.stream import CacheHeader
from receiver_service.receive import CacheIntake, Sources, Wanted


async def fuse(intake: CacheIntake, question: Question) -> Prepared:
    """Read all tokens but the last here and fuse the sharer's cache of the same tokens in.

    Raises:
        InvalidRequestError, InputTooLongError: Fewer than two tokens; too many.
        KvwireError: What went wrong at the sharer or on the wire.
    """
    engine, worker, fuser = intake.engine, intake.worker, intake.fuser
    task, watch = question.task, question.watch
    with watch.stage("tokenize"):
        tokens = await worker.run(lambda: engine.prompts.read(question.context, question.prompt), task)
    everything = tokens.head + tokens.context + tokens.prompt
    body, last = everything[:-1], everything[-1:]
    if not body:
        raise InvalidRequestError("method fuse needs at least two tokens: the last one is never fused")
    engine.check_length(tokens.total + question.reserve_tokens, "head, context, prompt and answer together")
    cache = engine.new_cache(lambda *_: task.check())

    async def opened(_: CacheHeader) -> None:
        with watch.stage("prefill"):
            await worker.run(lambda: engine.read(body, cache, 0), task)

    def ready(target: int, sources: Sources) -> None:
        own_keys, own_values = cache.layer(target)
        cache.replace(target, *fuser.fuse(target, sources, own_keys, own_values))

    with watch.stage("share"):
        wanted = Wanted(Method.FUSE, TokenIds(body), ())
        received = await intake.receive(question, wanted, opened=opened, ready=ready)

    counts = TokenCounts(head=len(tokens.head), context=len(tokens.context), prompt=len(tokens.prompt))
    report = received.into(new_report(engine, question, counts), fuser)
    return Prepared(cache, last, len(body), report)
