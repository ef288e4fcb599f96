"""What came of one sharer's cache, for the report: names, stages, bytes, and what was spared."""

from dataclasses import dataclass, replace

from codec.formula import formula_bytes
from fuser.base import Fuser
from kvwire.errors import DataLossError, KvwireError
from kvwire.model_card import ModelCard
from kvwire.report import ByteCounts, Report, Spared, StageTiming
from kvwire.requests import AlignmentRule, Method
from kvwire.stream import CacheHeader, ShareRequest
from receiver_service.incoming import Incoming
from receiver_service.omission import omitted_values


@dataclass(frozen=True)
class Named:
    """A fuser and the name that a request knows it by."""

    name: str
    fuser: Fuser


@dataclass(frozen=True)
class Received:
    """What came, and what of the request decided it.

    ``header`` as if nothing but what came had been asked for; ``needed``: how many layers were; ``fault``: what kept
    the others away, if any are ``missing``.
    """

    key: ShareRequest
    header: CacheHeader
    needed: int
    stages: tuple[StageTiming, ...]
    sharer: ModelCard
    bytes: ByteCounts
    fault: KvwireError | None = None

    @classmethod
    def of(cls, key: ShareRequest, sharer: ModelCard, incoming: Incoming, fault: KvwireError | None) -> "Received":
        """What has come by now.

        Raises:
            DataLossError: Not even a header.
        """
        header = incoming.header
        if header is None:
            raise DataLossError("the stream ended without header or trailer; it was cut, retry the call")
        needed = header.expected_layers
        came = header
        if incoming.missing:
            came = replace(header, sent_layers=tuple(layer for layer in needed if layer not in incoming.missing))
        moved = _byte_counts(incoming, came, header.layers - len(needed))
        return cls(key, came, len(needed), incoming.stages, sharer, moved, fault)

    @property
    def missing(self) -> int:
        """Layers that did not come."""
        return self.needed - len(self.header.expected_layers)

    def into(self, report: Report, fuser: Named) -> Report:
        """The report with what the sharer did; a second sharer's names, bytes and stages join the first one's."""
        used = len(self.header.expected_layers)
        return replace(
            report,
            reason=report.reason if self.fault is None else _partial(report, used, self.needed, self.fault),
            codec=self.header.codec,
            fuser=_joined(report.fuser, fuser.name),
            bytes=self.bytes if report.bytes is None else _sum(report.bytes, self.bytes),
            tokens=replace(report.tokens, slots=self.header.slots),
            sharer_model=_joined(report.sharer_model, self.sharer.binding.id),
            stages=(*report.stages, *self.stages),
            layers_needed=report.layers_needed + self.needed,
            layers_came=report.layers_came + used,
        )


@dataclass(frozen=True)
class Lost:
    """A sharer of several of which nothing came, and what it should have sent."""

    needed: int
    fault: KvwireError

    def into(self, report: Report, fuser: Named) -> Report:
        """The report with what is missing."""
        del fuser
        reason = _partial(report, 0, self.needed, self.fault)
        return replace(report, reason=reason, layers_needed=report.layers_needed + self.needed)


def _partial(report: Report, used: int, needed: int, fault: KvwireError) -> str:
    return f"{report.reason}; partial: {used} of {needed} layers came before {fault.status}: {fault}"


def _byte_counts(incoming: Incoming, came: CacheHeader, unused_layers: int) -> ByteCounts:
    """The bytes of one cache, of all its streams; nothing is sent of what is held."""
    values = came.values - omitted_values(came)
    reused = incoming.held if incoming.replayed else None
    socket = incoming.meter.socket
    return ByteCounts(
        payload_bytes=incoming.layers.payload_bytes,
        grpc_bytes=incoming.meter.grpc_bytes,
        socket_sent_bytes=socket.sent if socket else 0,
        socket_received_bytes=socket.received if socket else 0,
        socket_isolated=socket is not None,
        values=0 if reused else values,
        formula_bytes=formula_bytes(incoming.codec.spec, came.source_tokens, came.kv_heads, came.head_dim),
        spared=(Spared("held", values, reused.payload_bytes),)
        if reused
        else _spared(incoming.request, came, unused_layers, incoming.layers.payload_bytes),
    )


def _spared(request: ShareRequest, header: CacheHeader, unused_layers: int, payload_bytes: int) -> tuple[Spared, ...]:
    """Layers that no target takes, halves behind closed gates, and what method fuse never fuses.

    That is the last token or, where a chat is aligned, its templates, of which those before all content are counted.
    """
    token = 2 * header.kv_heads * header.head_dim
    omitted = omitted_values(header)
    sent = header.values - omitted
    per_token = sent // header.source_tokens if request.method is Method.FUSE else 0
    values = {
        "unused_layers": unused_layers * header.source_tokens * token,
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
