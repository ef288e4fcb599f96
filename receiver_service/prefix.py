"""Method ``prefix``: the sharer's cache stands before the receiver's own tokens."""

from codec.spec import RopePhase
from fuser.layers import in_phase, kept_positions, rope_table
from fuser.slots import at_slots
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import new_report
from kvwire.errors import InvalidRequestError
from kvwire.requests import Messages, Method, TokenCounts
from kvwire.stream import CacheHeader
from receiver_service.held import HeldCache, PlacedLayer
from receiver_service.receive import CacheIntake, Sources, Wanted


async def prefix(intake: CacheIntake, question: Question) -> Prepared:
    """Read the head here and place the sharer's cache behind it; the prompt is read over both.

    Raises:
        InvalidRequestError, InputTooLongError: No context; too many tokens.
        KvwireError: What went wrong at the sharer or on the wire.
    """
    engine, worker, fuser = intake.engine, intake.worker, intake.fuser
    task, watch = question.task, question.watch
    context = question.context
    if context is None:
        raise InvalidRequestError("method prefix needs a context for the sharer to read; send one or use receiver_only")
    # Context messages shape how the prompt is rendered; a text context is left to the sharer alone.
    rendered = context if isinstance(context, Messages) else None
    with watch.stage("tokenize"):
        tokens = await worker.run(lambda: engine.prompts.read(rendered, question.prompt), task)
    cache = engine.new_cache(lambda *_: task.check())
    opening = fuser.opening(tokens.head)
    head = len(opening)
    ropes = rope_table(engine.card)
    slot_sources: tuple[int, ...] | None = None

    async def opened(header: CacheHeader) -> None:
        nonlocal slot_sources
        slot_sources = header.slot_sources
        total = head + header.slots + len(tokens.prompt)
        engine.check_length(total + question.reserve_tokens, "head, slots, prompt and answer together")
        await worker.run(lambda: engine.read(opening, cache, 0), task)

    placed: list[PlacedLayer] = []

    def place(made: PlacedLayer) -> None:
        placed.append(made)
        cache.place(made.layer, made.keys, made.values, made.positions)

    def ready(target: int, sources: Sources) -> None:
        kv = at_slots(fuser.project(target, sources), slot_sources)
        kv = in_phase(kv, RopePhase.POST, head, ropes)
        keys, values = (each.to(engine.device, engine.dtype) for each in (kv.keys, kv.values))
        place(PlacedLayer(target, keys, values, kept_positions(kv, head).to(engine.device)))

    def again(held: HeldCache) -> None:
        with watch.stage("place"):
            for made in held.layers:
                place(made)

    wanted = Wanted(Method.PREFIX, context, opening, tokens.prompt)
    with watch.stage("share"):
        received = await intake.receive(question, wanted, opened=opened, ready=ready, again=again)
    intake.hold(received, placed)
    counts = TokenCounts(head=head, context=received.header.source_tokens, prompt=len(tokens.prompt))
    report = received.into(new_report(engine, question, counts), intake.named)
    return Prepared(cache, tokens.prompt, head + received.header.slots, report)
