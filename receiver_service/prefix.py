"""Method ``prefix``: the sharer's cache stands before the receiver's own tokens."""

from codec.spec import RopePhase
from fuser.base import Fuser
from fuser.layers import in_phase, kept_positions, rope_table
from fuser.slots import at_slots
from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Engine
from kvwire.engine.prompts import Tokens
from kvwire.engine.question import Prepared, Question, Ready
from kvwire.engine.reading import new_report
from kvwire.engine.streamed import StreamedRead
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.report import TokenCounts
from kvwire.requests import Input, Messages, Method, TokenIds
from kvwire.stream import CacheHeader
from receiver_service.held import HeldCache, PlacedLayer
from receiver_service.openings import Openings
from receiver_service.receive import CacheIntake, Wanted
from receiver_service.source_layers import Sources

#: Under policy ``partial``: the share of layers that must know the context. SmolLM2-135M keeps 86 % of what 256 tokens
#: of context give with 27 of 30 layers, 76 % with 25, 7 % with 22; with 15 it harms (8 articles, 2026-11-27).
_LEAST = 0.9


async def prefix(intake: CacheIntake, question: Question, openings: Openings) -> Prepared | Ready:
    """Begin with the head and place the sharer's cache behind it; the prompt is read over both.

    A question that streams has its prompt read layer by layer as they come, if nobody else is being answered: with
    others there is other work meanwhile, and prompts that are left are read together.

    Raises:
        InvalidRequestError, InputTooLongError: No context; too many tokens.
        FullError, DeadlineError: There is no memory for it, or not in time.
        KvwireError: What went wrong at the sharer or on the wire.
    """
    engine, worker = intake.engine, intake.worker
    task, watch = question.task, question.watch
    context = question.context
    if context is None:
        raise InvalidRequestError("method prefix needs a context for the sharer to read; send one or use receiver_only")
    with watch.stage("tokenize"):
        tokens, slots = await worker.run(lambda: _tokenized(engine, context, question.prompt), task)
    cache = engine.new_cache(lambda *_: task.check())
    opening = intake.fuser.opening(tokens.head)
    placing = _Placing(engine, intake.fuser, cache, len(opening))
    read = len(opening) + slots + len(tokens.prompt)
    engine.check_length(read + question.reserve_tokens, "head, slots, prompt and answer together")
    # Before the sharer is asked: who waits here holds nothing there, and who holds something there waits for nobody.
    await worker.make_room(question.bytes_of(engine, read) + await intake.sources_bytes(slots), task)

    streams = question.streams and worker.in_flight <= 1
    streamed = StreamedRead(engine, worker, question, cache, placing.there)

    async def opened(header: CacheHeader) -> None:
        placing.opened(header, slots)
        await openings.begin(cache, opening, question)
        if streams:
            streamed.begin(tokens.prompt, len(opening) + header.slots)

    def again(held: HeldCache) -> None:
        with watch.stage("place"):
            for layer in held.layers:
                placing.place(layer)

    wanted = Wanted(Method.PREFIX, context, opening, tokens.prompt, _LEAST)
    async with streamed:
        with watch.stage("share"):
            received = await intake.receive(question, wanted, opened=opened, ready=placing.project, again=again)
        placing.ended()
        intake.hold(received, placing.placed)
        counts = TokenCounts(head=len(opening), context=received.header.source_tokens, prompt=len(tokens.prompt))
        report = received.into(new_report(engine, question, counts), intake.named)
        left = Prepared(cache, tokens.prompt, len(opening) + received.header.slots, report)
        return Ready(cache, await streamed.logits(), left.end, report) if streams else left


def _tokenized(engine: Engine, context: Input, prompt: Input) -> tuple[Tokens, int]:
    """What is read here, and how many slots the sharer's cache of the context fills."""
    if isinstance(context, Messages):  # they shape how the prompt is rendered
        tokens = engine.prompts.read(context, prompt)
        return tokens, len(tokens.context)
    tokens = engine.prompts.read(None, prompt)  # the context is left to the sharer alone; ids may be its own
    return tokens, len(context.ids) if isinstance(context, TokenIds) else len(engine.prompts.context(context))


class _Placing:
    """Puts layers behind the head of a cache; on the compute thread once the header came."""

    def __init__(self, engine: Engine, fuser: Fuser, cache: PositionedCache, head: int) -> None:
        self._engine = engine
        self._fuser = fuser
        self._cache = cache
        self._head = head
        self._ropes = rope_table(engine.card)
        self._slot_sources: tuple[int, ...] | None = None
        self.placed: list[PlacedLayer] = []
        targets = range(len(engine.card.layers))
        self._expected = {target for target in targets if fuser.source_layers(target)}

    def opened(self, header: CacheHeader, slots: int) -> None:
        """Hear what will come, into at most so many slots.

        Raises:
            BindingError: The sharer fills more.
        """
        if header.slots > slots:
            raise BindingError(
                f"the sharer fills {header.slots} slots with a context that has {slots} tokens here; both must run "
                "the same tokenizer files"
            )
        self._slot_sources = header.slot_sources

    def project(self, target: int, sources: Sources) -> None:
        """Project a layer from its sources and place it."""
        kv = at_slots(self._fuser.project(target, sources), self._slot_sources)
        kv = in_phase(kv, RopePhase.POST, self._head, self._ropes)
        keys, values = (each.to(self._engine.device, self._engine.dtype) for each in (kv.keys, kv.values))
        self.place(PlacedLayer(target, keys, values, kept_positions(kv, self._head).to(self._engine.device)))

    def there(self, layer: int) -> bool:
        """Whether nothing more will be placed in a layer."""
        return layer not in self._expected

    def ended(self) -> None:
        """Nothing more comes: layers that are not there are read without the context."""
        self._expected.clear()

    def place(self, layer: PlacedLayer) -> None:
        """Place a layer as it is."""
        self._expected.discard(layer.layer)
        self.placed.append(layer)
        self._cache.place(layer.layer, layer.keys, layer.values, layer.positions)
