"""Decides what one Share sends and what its header is bound to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from codec.allocate.policy import Budget
from codec.allocate.profiles import Profiles
from codec.allocate.sizes import CacheShape
from codec.calibrations import Calibrations
from codec.codec import Codec
from codec.spec import CodecSpec, Payload
from fuser.latents import Divisible, FirstHalf, latent_card, sources_of
from fuser.layers import rope_table
from kvwire.engine.engine import Engine
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.model_card import ModelBinding, ModelCard
from kvwire.requests import PROTOCOL_VERSION, AlignmentRule, FaultPolicy, Method, RequestInfo, TokenIds
from kvwire.stream import FRAME_VERSION, CacheHeader, ShareRequest
from sharer_service.context import ContextTokens, Tokenizers, read_context
from sharer_service.kept import ContextKey
from sharer_service.outgoing import Reading, Sender


@dataclass(frozen=True)
class Plan:
    """What is read, how it is encoded, and the header that says so."""

    reading: Reading
    codec: Codec
    header: CacheHeader


@dataclass(frozen=True)
class Held:
    """What a sharer holds beside its model: codec tables, sensitivity profiles, tokenizers of receivers, and fusers.

    ``fusers``: by fingerprint, those that can be cut in two and whose first half is this model's.
    """

    calibrations: Calibrations
    profiles: Profiles
    tokenizers: Tokenizers
    fusers: Mapping[bytes, Divisible]


class Plans:
    """Lays out answers; one like an earlier one of the same caller costs no second tokenization of its context."""

    def __init__(self, engine: Engine, held: Held, keep: int) -> None:
        self._plan = lru_cache(keep)(lambda request: plan_share(engine, request, held))

    def of(self, request: ShareRequest) -> Plan:
        """As :func:`plan_share` lays it out, and with its errors."""
        asked, caller = request.info, RequestInfo(caller=request.info.caller)
        plan = self._plan(replace(request, info=caller, held_digests=(), on_fault=FaultPolicy.FAIL))
        return replace(plan, header=replace(plan.header, request_id=asked.request_id))


def plan_share(engine: Engine, request: ShareRequest, held: Held) -> Plan:
    """Check a request against this sharer and lay out its answer.

    Raises:
        SpecError: The codec spec does not parse or is not offered, or a budget is too small.
        BindingError: The receiver expected another sharer, reads with a tokenizer this sharer does not hold, or the
            codec or a budget needs tables, or latents a fuser, that are not here.
        InvalidRequestError, InputTooLongError: Layers that do not exist; no or too many tokens; no question for a
            selector that goes by one.
    """
    spec = CodecSpec.parse(request.codec)
    _check_bindings(engine.card.binding, request)
    divided = _divided(request, held) if spec.of is Payload.LATENTS else None
    read = read_context(engine, held.tokenizers, request)
    context, head = read.tokens, read.head
    card = latent_card(engine.card, divided) if divided else engine.card
    layers = _layers(card, request)
    if request.policy:
        profile = held.profiles.of(card.binding.weights_fingerprint, card.binding.id)
        shape = CacheShape(layers, card.kv_heads, card.head_dim, len(context))
        spec = Budget.parse(request.policy).resolve(spec, profile, shape)
    calibration = held.calibrations.needed(spec, card.binding.weights_fingerprint, card.binding.id)
    codec = Codec(spec, rope_table(card), calibration)
    tables = (calibration.digest,) if calibration else ()
    question = _question(engine, request) if codec.needs_question else ()
    engine.check_length(len(head) + len(context) + len(question), "head, context and question together")
    digest = _content_digest(card.binding, request, (head, context, question), str(spec), tables)
    header = replace(
        _header(card, request, read),
        sharer=engine.card.binding,
        codec=str(codec.spec),
        sent_layers=() if len(layers) == len(card.layers) else layers,
        table_digests=tables,
        content_digest=digest,
    )
    key = ContextKey(request.info.caller, head, context, question)
    return Plan(_reading(key, layers, divided, engine.card), codec, header)


def _divided(request: ShareRequest, held: Held) -> Divisible:
    if request.fuser_fingerprint not in held.fusers:
        raise BindingError(
            f"codec {request.codec!r} needs the first half of fuser {request.fuser_fingerprint.hex()[:12]}, which this "
            "sharer does not hold; start it with: --fusers NAME=PATH"
        )
    return held.fusers[request.fuser_fingerprint]


def _layers(card: ModelCard, request: ShareRequest) -> tuple[int, ...]:
    if any(layer >= len(card.layers) for layer in request.needed_layers):
        raise InvalidRequestError(
            f"layer {max(request.needed_layers)} was asked for, but {card.binding.id} has {len(card.layers)} layers"
        )
    return tuple(sorted(set(request.needed_layers))) or tuple(range(len(card.layers)))


def _reading(key: ContextKey, layers: tuple[int, ...], divided: Divisible | None, card: ModelCard) -> Reading:
    if divided is None:
        return Reading(key, frozenset(layers))
    wanted = frozenset(layers)

    def latents() -> Sender:
        first_half = FirstHalf(divided, rope_table(card), len(key.head))
        return lambda kv: (each for each in first_half(kv) if each.layer in wanted)

    return Reading(key, sources_of(divided), latents)


def _header(card: ModelCard, request: ShareRequest, read: ContextTokens) -> CacheHeader:
    """What request, context and the model that is sent, or latents like one, say of it."""
    return CacheHeader(
        protocol_version=PROTOCOL_VERSION,
        frame_version=FRAME_VERSION,
        request_id=request.info.request_id,
        sharer=card.binding,
        receiver_tokenizer_fingerprint=request.receiver.tokenizer_fingerprint,
        fuser_fingerprint=request.fuser_fingerprint,
        codec=request.codec,
        layers=len(card.layers),
        kv_heads=card.kv_heads,
        head_dim=card.head_dim,
        ropes=card.ropes,
        layer_ropes=tuple(layer.rope for layer in card.layers),
        source_tokens=len(read.tokens),
        first_position=len(read.head),
        slots=read.slots,
        first_slot_position=request.first_slot_position,
        slot_source_deltas=read.deltas,
    )


def _check_bindings(own: ModelBinding, request: ShareRequest) -> None:
    if request.expected_sharer != own:
        raise BindingError(
            f"the receiver expected sharer {request.expected_sharer.id} "
            f"({request.expected_sharer.weights_fingerprint.hex()[:12]}), but this is {own.id} "
            f"({own.weights_fingerprint.hex()[:12]}); restart the receiver or point it to the right sharer"
        )
    # A fuser with weights was held against both tokenizers by the receiver, and says whether they may differ.
    aligned = request.alignment is not AlignmentRule.NONE
    trusted = request.fuser_fingerprint and (aligned or request.method is Method.FUSE)
    if not trusted and request.receiver.tokenizer_fingerprint != own.tokenizer_fingerprint:
        raise BindingError(
            f"receiver {request.receiver.id} reads with another tokenizer than {own.id}; "
            "this sharer cannot place its tokens, use one model on both sides"
        )


def _question(engine: Engine, request: ShareRequest) -> tuple[int, ...]:
    if request.alignment is not AlignmentRule.NONE:
        raise InvalidRequestError(
            f"codec {request.codec!r} ranks tokens by the receiver's question, which is in another model's tokens; "
            "use by=attention"
        )
    question = engine.prompts.context(TokenIds(request.question))
    if not question:
        raise InvalidRequestError(
            f"codec {request.codec!r} ranks tokens by the receiver's question, and none came; send it, or by=attention"
        )
    return question


def _content_digest(
    own: ModelBinding,
    request: ShareRequest,
    read: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    spec: str,
    tables: tuple[bytes, ...],
) -> bytes:
    """SHA-256 over caller, alignment, sharer, token prefix, codec, its tables and question: what is sent, in short."""
    digest = hashlib.sha256()
    head, context, question = read
    ids = b"".join(token.to_bytes(4, "little") for token in (len(head), *head, *context))
    asked = b"".join(token.to_bytes(4, "little") for token in question)
    for part in (
        request.info.caller.encode(),
        request.alignment.encode(),
        request.receiver.tokenizer_fingerprint if request.alignment is not AlignmentRule.NONE else b"",
        own.weights_fingerprint,
        own.tokenizer_fingerprint,
        ids,
        spec.encode(),
        *tables,
        asked,
    ):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
