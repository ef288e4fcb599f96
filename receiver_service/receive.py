"""Receives a sharer's cache: asks, verifies, decodes each layer and hands it on as soon as it is whole.

A stream that breaks off is asked for again, but for the layers that came whole.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import torch

from codec.calibrations import Calibrations
from codec.codec import Codec
from codec.frame import Limits
from codec.rope import RopeTable
from codec.spec import CodecSpec
from fuser.layers import rope_table
from kvwire.engine.engine import Engine
from kvwire.engine.question import Question
from kvwire.engine.worker import Worker
from kvwire.errors import BindingError, DataLossError, InvalidRequestError, KvwireError
from kvwire.model_card import Description, ModelBinding, ModelCard
from kvwire.requests import FaultPolicy, Input, Method, with_time_left
from kvwire.rpc.stream_serde import header_from_bytes
from kvwire.stream import CacheHeader, CacheTrailer, ShareRequest
from receiver_service.arrival import Arrival
from receiver_service.choosing.pace import Stream
from receiver_service.held import Again, HeldCache, HeldCaches, PlacedLayer, content_key
from receiver_service.incoming import Incoming
from receiver_service.intake import Intake
from receiver_service.landing import Landing, Work
from receiver_service.omission import without_unused
from receiver_service.received import Named, Received
from receiver_service.sharers import SharerLink
from receiver_service.source_layers import SourceLayers, Sources
from receiver_service.tries import FAULTS, Tries


@dataclass(frozen=True)
class Wanted:
    """A cache to ask for: by which method, of what, behind which of the receiver's tokens (``head``).

    ``question`` is told only to codecs that ask. ``least``: of the receiver's layers, the share below which part of a
    cache is of no use.
    """

    method: Method
    context: Input
    head: tuple[int, ...]
    question: tuple[int, ...] = ()
    least: float = 0.0


class CacheIntake:
    """Everything one request needs to receive a cache."""

    def __init__(
        self,
        engine: Engine,
        worker: Worker,
        tries: Tries,
        named: Named,
        spec: CodecSpec,
        calibrations: Calibrations,
        held: HeldCaches,
        max_cache_bytes: int,
    ) -> None:
        self.engine = engine
        self.worker = worker
        self.tries = tries
        self.named = named
        self.fuser = named.fuser
        self._spec = spec
        self._calibrations = calibrations
        self._held = held
        self._max_cache_bytes = max_cache_bytes

    @property
    def needed_layers(self) -> tuple[int, ...]:
        """Sharer layers that some target takes, ascending."""
        targets = range(len(self.engine.card.layers))
        return tuple(sorted({source for target in targets for source in self.fuser.source_layers(target)}))

    async def sharer(self) -> ModelCard:
        """What the sharer runs, if the fuser was made for it.

        Raises:
            BindingError: It was not.
            UnavailableError: The sharer cannot be reached.
        """
        card = (await self.tries.described()).card
        try:
            self.fuser.check(card, self.engine.card)
        except BindingError:
            self.tries.replicas.forget()
            raise
        return card

    async def sources_bytes(self, tokens: int) -> int:
        """Memory of the sharer's layers, decoded to float32, if all of them wait for the last one.

        Raises:
            BindingError, UnavailableError: As :meth:`sharer` does.
        """
        card = self.fuser.sent_by(await self.sharer())
        return len(self.needed_layers) * card.kv_heads * tokens * 2 * card.head_dim * torch.float32.itemsize

    async def receive(
        self,
        question: Question,
        wanted: Wanted,
        *,
        opened: Callable[[CacheHeader], Awaitable[None]],
        ready: Callable[[int, Sources], None],
        again: Again | None = None,
    ) -> Received:
        """Receive a cache, in as many streams as it takes; under policy ``partial`` perhaps less than all of it.

        ``opened`` is called once the header is verified, ``ready(target, sources)`` on the compute thread for each
        target layer as soon as the layers it needs have come; or else ``again`` once, with what :meth:`hold` holds of
        the same content.

        Raises:
            KvwireError: Whatever went wrong at the sharer, on the wire, or with the pair.
        """
        sharer = await self.sharer()
        sent = self.fuser.sent_by(sharer)
        codec = self._codec(sent.binding, rope_table(sent))
        request = self._request(question, wanted, sharer, codec)
        key = content_key(request)
        held = self._held.get(key) if again is not None else None
        request = request if held is None else replace(request, held_digests=(held.digest,))
        layers = SourceLayers(self.fuser, len(self.engine.card.layers), ready, rope_table(sent))
        incoming = Incoming(question, request, sent, codec, layers, opened, again, held)

        async def streamed(link: SharerLink, description: Description) -> None:
            if description.card.binding != sharer.binding:
                raise BindingError(
                    f"sharer {link.name} at {link.address} was replaced by another model; retry the call"
                )
            stream = await self._stream(link, incoming)
            if incoming.streams == 1 and wanted.method is Method.PREFIX:  # of method fuse nothing is ever chosen
                self.tries.replicas.pace.learn(question.info.caller, wanted.context, str(self._spec), stream)

        fault: KvwireError | None = None
        try:
            await self.tries.run(streamed)
        except FAULTS as ended:
            question.task.check()
            if question.exchange.on_fault is not FaultPolicy.PARTIAL or not incoming.usable_after(ended, wanted.least):
                raise
            fault = ended
        return Received.of(key, sharer, incoming, fault)

    async def _stream(self, link: SharerLink, incoming: Incoming) -> Stream:
        """One stream of what is still to come, from its header to its trailer; how it went."""
        asked, left_s = incoming.asked(), self.tries.left_s()
        # The header answers these very bytes, deadline included.
        request = replace(asked, info=with_time_left(asked.info, left_s))
        intake = Intake(request, incoming.sent, self._max_cache_bytes)
        arrival = Arrival()
        header: CacheHeader | None = None
        trailer: CacheTrailer | None = None
        landing = Landing(self.worker, incoming.question.task, arrival, lambda: self.tries.tally.used(link))
        async with aclosing(link.share(request, left_s, incoming.meter)) as parts, landing:
            async for part in parts:
                if isinstance(part, bytes):
                    arrival.begins()
                    header = header_from_bytes(part)
                    intake.header(part, header)
                    await self._opened(header, incoming)
                elif isinstance(part, CacheTrailer):
                    trailer = part
                    intake.trailer(trailer)
                elif (frame := intake.chunk(part)) is not None and header is not None:
                    landing.add(self._decoding(frame, header, incoming))
        arrival.ends()
        if header is None or trailer is None:
            raise DataLossError("the stream ended without header or trailer; it was cut, retry the call")
        self.tries.tally.used(link)
        incoming.stages = trailer.stages
        return arrival.of(header, trailer, incoming.codec.spec.base.name)

    async def _opened(self, header: CacheHeader, incoming: Incoming) -> None:
        """Go by a verified header; only a cache's first one is news."""
        incoming.streams += 1
        if incoming.continues(header):
            return
        incoming.resolve(header)
        await incoming.opened(header)
        incoming.header = header
        held, again = incoming.held, incoming.again
        if held is not None and again is not None and header.content_digest == held.digest:
            await self.worker.run(lambda: again(held), incoming.question.task)
            incoming.replayed = True

    def _decoding(self, frame: tuple[int, bytes], header: CacheHeader, incoming: Incoming) -> Work:
        """The work of decoding a layer's frame and running what it completes."""
        limits = _frame_limits(incoming.sent, self.engine.max_tokens)
        return incoming.layers.decoding(incoming.codec, frame, header, limits, incoming.question.watch)

    def hold(self, received: Received, layers: Sequence[PlacedLayer]) -> None:
        """Hold what came, as it was placed."""
        if received.bytes.payload_bytes and not received.missing:
            cache = HeldCache(received.header.content_digest, received.bytes.payload_bytes, tuple(layers))
            self._held.put(received.key, cache)

    def _codec(self, model: ModelBinding, ropes: RopeTable) -> Codec:
        """What is asked for, with the tables of the model whose cache, or latents, are sent."""
        spec = without_unused(self._spec, self.fuser, self.needed_layers)
        return Codec(spec, ropes, self._calibrations.needed(spec, model.weights_fingerprint, model.id))

    def _request(self, question: Question, wanted: Wanted, sharer: ModelCard, codec: Codec) -> ShareRequest:
        needed = self.needed_layers
        if codec.needs_question and not wanted.question:
            raise InvalidRequestError(
                f"codec {str(codec.spec)!r} ranks tokens by the receiver's question, which method {wanted.method} has "
                "in the context itself; use by=attention"
            )
        return ShareRequest(
            info=question.info,
            method=wanted.method,
            context=wanted.context,
            codec=str(codec.spec),
            expected_sharer=sharer.binding,
            receiver=self.engine.card.binding,
            fuser_fingerprint=self.fuser.fingerprint,
            head=self.fuser.head(wanted.head),
            first_slot_position=len(wanted.head),
            alignment=self.fuser.alignment,
            needed_layers=() if len(needed) == len(self.fuser.sent_by(sharer).layers) else needed,
            on_fault=question.exchange.on_fault,
            held_table_digests=(codec.calibration.digest,) if codec.calibration else (),
            policy=question.exchange.policy,
            question=wanted.question if codec.needs_question else (),
        )


def _frame_limits(sharer: ModelCard, max_tokens: int) -> Limits:
    return Limits(
        max_layers=len(sharer.layers), max_kv_heads=sharer.kv_heads, max_head_dim=sharer.head_dim, max_tokens=max_tokens
    )
