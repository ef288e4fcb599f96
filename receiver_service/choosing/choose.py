"""Takes the best way to answer a question that its target allows, and says why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codec.allocate.sizes import CacheShape, half_bytes, header_bytes
from codec.calibrations import Calibrations
from codec.codec import Codec
from codec.quantize.base import Kind
from codec.spec import CodecSpec
from fuser.layers import rope_table
from kvwire.engine.engine import Engine
from kvwire.engine.question import Question
from kvwire.engine.worker import Worker
from kvwire.errors import InvalidRequestError, KvwireError, SpecError
from kvwire.model_card import ModelCard
from kvwire.requests import AlignmentRule, Exchange, Method, TokenIds
from receiver_service.choosing.forecast import Asked, Sending, reading_s, sending_s
from receiver_service.choosing.own import OwnPasses
from receiver_service.choosing.pace import Pace
from receiver_service.choosing.target import BytesWithin, FirstTokenWithin, Target

#: From the best on, by how far predictions move (docs/codec-guide.md); nf4 is for who has no tables for rd.
_BASES = ("fp16", "int8", "rd:bits=4", "rd:bits=3", "rd:bits=2")
_BASES_WITHOUT_TABLES = ("fp16", "int8", "nf4")

#: A message of ``rd`` may take so many times its rate: measured within 4 % on each of 20 articles.
_RD_OVER_RATE = 1.05


@dataclass(frozen=True)
class Way:
    """One way to answer: by which exchange, and what it is forecast to take."""

    name: str
    exchange: Exchange
    first_token_s: float
    payload_bytes: float


@dataclass(frozen=True)
class Choice:
    """The way that was taken, and why."""

    exchange: Exchange
    reason: str


@dataclass(frozen=True)
class Offer:
    """What a sharer would send: the model whose cache it is, or latents like one, which layers, and how aligned.

    ``codecs``: bases that it offers.
    """

    card: ModelCard
    codecs: tuple[str, ...]
    layers: tuple[int, ...]
    alignment: AlignmentRule


class Chooser:
    """Chooses for one receiver; ``own``: what its passes take."""

    def __init__(self, engine: Engine, worker: Worker, calibrations: Calibrations, own: OwnPasses) -> None:
        self._engine = engine
        self._worker = worker
        self._calibrations = calibrations
        self._own = own

    async def choose(self, wanted: Target, question: Question, offer: Offer, pace: Pace) -> Choice:
        """The best way that keeps to the target, or else the fastest.

        Raises:
            SpecError: Nothing is as small as the target, or the codec asked for brings options that no way can have.
            InvalidRequestError: There is no context.
        """
        asked = await self._worker.run(lambda: self._asked(question), question.task)
        ways = [
            Way(
                sending.codec,
                replace(question.exchange, codec=sending.codec, policy=""),
                sending_s(asked, sending, pace, self._own),
                sending.payload_bytes,
            )
            for sending in self._sendings(question.exchange, offer, asked.context_tokens)
        ]
        match wanted:
            case BytesWithin():
                return _smallest_loss(wanted, ways)
            case FirstTokenWithin():
                if offer.alignment is AlignmentRule.NONE or not isinstance(question.context, TokenIds):
                    exchange = replace(question.exchange, method=Method.RECEIVER_READS, policy="")
                    ways.insert(1, Way("reading again", exchange, reading_s(asked, self._own), 0))
                return _soon_enough(wanted, ways)

    def _asked(self, question: Question) -> Asked:
        context, prompts = question.context, self._engine.prompts
        if context is None:
            raise InvalidRequestError("method prefix needs a context for the sharer to read; send one")
        # A sharer's own ids may be none of this model's.
        tokens = len(context.ids) if isinstance(context, TokenIds) else len(prompts.context(context))
        prompt_tokens = len(prompts.read(None, question.prompt).prompt)
        return Asked(question.info.caller, context, tokens, prompt_tokens, self._worker.in_flight <= 1)

    def _sendings(self, exchange: Exchange, offer: Offer, tokens: int) -> list[Sending]:
        """The sharer's cache as every codec that can be had with the options asked for, from the best on."""
        if CodecSpec.parse(exchange.codec).mix:
            raise SpecError(f"codec spec {exchange.codec!r}: a policy chooses the codec itself; leave mix= out")
        options = exchange.codec.partition("+")[2]
        sent = offer.card
        shape = CacheShape(offer.layers, sent.kv_heads, sent.head_dim, tokens)
        tables = self._calibrations.held(sent.binding.weights_fingerprint, sent.binding.id)
        sendings = []
        for base in _BASES if tables and "rd" in offer.codecs else _BASES_WITHOUT_TABLES:
            spec = CodecSpec.parse(f"{base}+{options}" if options else base)
            try:
                Codec(spec, rope_table(sent), tables)
            except KvwireError:  # it is not to be had with these options
                continue
            sendings.append(Sending(str(spec), spec.base.name, _payload_bytes(spec, shape), len(offer.layers)))
        if not sendings:
            raise SpecError(f"codec spec {exchange.codec!r}: no codec that a policy chooses from has its options")
        return sendings


def _payload_bytes(spec: CodecSpec, shape: CacheShape) -> float:
    """All frames together; what depends on the data by its rate."""
    if "bits" in (given := dict(spec.base.params)):
        tokens = spec.keep.count(shape.tokens) if spec.keep else shape.tokens
        values = 2 * len(shape.layers) * shape.kv_heads * tokens * shape.head_dim
        return values * float(given["bits"]) / 8 * _RD_OVER_RATE
    halves = sum(half_bytes(spec.base, kind, shape, spec.keep) for kind in Kind)
    return sum(halves + header_bytes(len(str(spec)), layer, shape, spec.keep) for layer in shape.layers)


def _smallest_loss(wanted: BytesWithin, ways: Sequence[Way]) -> Choice:
    for index, way in enumerate(ways):
        if way.payload_bytes <= wanted.bytes:
            better = f"; {ways[index - 1].name} would take {ways[index - 1].payload_bytes:.0f}" if index else ""
            return Choice(
                way.exchange, f"bytes={wanted.bytes}: {way.name} takes about {way.payload_bytes:.0f} bytes{better}"
            )
    least = min(ways, key=lambda way: way.payload_bytes)
    raise SpecError(
        f"bytes={wanted.bytes} is too small: {least.name}, the smallest there is, takes about "
        f"{least.payload_bytes:.0f} bytes; allow more, send less context, or prune with keep="
    )


def _soon_enough(wanted: FirstTokenWithin, ways: Sequence[Way]) -> Choice:
    forecasts = ", ".join(f"{way.name} {1000 * way.first_token_s:.0f} ms" for way in ways)
    within = [way for way in ways if way.first_token_s <= wanted.seconds]
    way = within[0] if within else min(ways, key=lambda way: way.first_token_s)
    which = "the best in time" if within else "the fastest, though none is in time"
    return Choice(way.exchange, f"ttft={1000 * wanted.seconds:.0f}ms: {way.name} is {which}; forecast: {forecasts}")
