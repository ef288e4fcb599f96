"""What came of one sharer's cache, for the report: names, stages, bytes, and what was spared."""

from dataclasses import dataclass, replace

from codec.codec import Codec
from codec.formula import formula_bytes
from fuser.base import Fuser
from kvwire.model_card import ModelCard
from kvwire.report import ByteCounts, Report, Spared
from kvwire.requests import AlignmentRule, Method
from kvwire.stream import CacheHeader, CacheTrailer, ShareRequest
from receiver_service.held import HeldCache
from receiver_service.omission import omitted_values
from receiver_service.sharers import Meter


@dataclass(frozen=True)
class Named:
    """A fuser and the name that a request knows it by."""

    name: str
    fuser: Fuser


@dataclass(frozen=True)
class Received:
    """What came, and what of the request decided it."""

    key: ShareRequest
    header: CacheHeader
    trailer: CacheTrailer
    sharer: ModelCard
    bytes: ByteCounts

    def into(self, report: Report, fuser: Named) -> Report:
        """The report with what the sharer did; a second sharer's names, bytes and stages join the first one's."""
        return replace(
            report,
            codec=self.header.codec,
            fuser=_joined(report.fuser, fuser.name),
            bytes=self.bytes if report.bytes is None else _sum(report.bytes, self.bytes),
            tokens=replace(report.tokens, slots=self.header.slots),
            sharer_model=_joined(report.sharer_model, self.sharer.binding.id),
            stages=(*report.stages, *self.trailer.stages),
        )


def byte_counts(
    request: ShareRequest,
    header: CacheHeader,
    trailer: CacheTrailer,
    meter: Meter,
    codec: Codec,
    held: HeldCache | None,
) -> ByteCounts:
    """The bytes of one stream, if it was one: nothing is sent of what is held."""
    values = header.values - omitted_values(header)
    reused = held if held is not None and not trailer.frames else None
    return ByteCounts(
        payload_bytes=trailer.payload_bytes,
        grpc_bytes=meter.grpc_bytes,
        socket_sent_bytes=meter.socket.sent if meter.socket else 0,
        socket_received_bytes=meter.socket.received if meter.socket else 0,
        socket_isolated=meter.isolated,
        values=0 if reused else values,
        formula_bytes=formula_bytes(codec.spec, header.source_tokens, header.kv_heads, header.head_dim),
        spared=(Spared("held", values, reused.payload_bytes),)
        if reused
        else _spared(request, header, trailer.payload_bytes),
    )


def _spared(request: ShareRequest, header: CacheHeader, payload_bytes: int) -> tuple[Spared, ...]:
    """Layers that no target takes, halves behind closed gates, and what method fuse never fuses.

    That is the last token or, where a chat is aligned, its templates, of which those before all content are counted.
    """
    token = 2 * header.kv_heads * header.head_dim
    omitted = omitted_values(header)
    sent = header.values - omitted
    per_token = sent // header.source_tokens if request.method is Method.FUSE else 0
    values = {
        "unused_layers": (header.layers - len(header.expected_layers)) * header.source_tokens * token,
        "closed_gates": omitted,
        "last_token": per_token if request.alignment is AlignmentRule.NONE else 0,
        "template_tokens": per_token * header.first_position if request.alignment is not AlignmentRule.NONE else 0,
    }
    rate = payload_bytes / sent
    return tuple(Spared(what, count, round(count * rate)) for what, count in values.items() if count)


def _joined(before: str, name: str) -> str:
    return f"{before}, {name}" if before else name


def _sum(one: ByteCounts, other: ByteCounts) -> ByteCounts:
    both = {name: getattr(one, name) + getattr(other, name) for name in vars(one)}
    return ByteCounts(**(both | {"socket_isolated": one.socket_isolated and other.socket_isolated}))
