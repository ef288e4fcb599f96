"""The receiver's link to one address of a sharer."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message

from kvwire.balancing.breaker import Breaker
from kvwire.balancing.places import Place, port_of
from kvwire.errors import KvwireError, StalledError
from kvwire.model_card import Description, ModelBinding
from kvwire.report import StageTiming
from kvwire.requests import Exchange, Input, RequestInfo, with_time_left
from kvwire.rpc import relay_serde, share_request_serde, stream_serde
from kvwire.rpc.answer_serde import stages_from_proto
from kvwire.rpc.model_serde import description_from_proto
from kvwire.rpc.socket_bytes import SocketBytes, socket_bytes
from kvwire.rpc.status import error_from_rpc
from kvwire.security import ClientSecurity
from kvwire.stream import CacheChunk, CacheTrailer, ShareRequest
from kvwire.telemetry import Metrics
from kvwire.tracing import Headers, span
from kvwire.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    sharer_service_pb2_grpc,
)

# A stream that was silent for so long when its time was up had stalled; one that moved was given too little time.
_STALLED_S = 1.0


@dataclass
class Meter:
    """Bytes of one exchange with a sharer, all its tries together, filled in as it goes."""

    grpc_bytes: int = 0
    _sockets: list[SocketBytes | None] = field(default_factory=list)

    def count(self, message: Message) -> None:
        """Add a serialized message."""
        self.grpc_bytes += message.ByteSize()

    def connection(self, moved: SocketBytes | None) -> None:
        """Add what one call moved on its connection; None if others used it, or nobody can tell."""
        self._sockets.append(moved)

    @property
    def socket(self) -> SocketBytes | None:
        """What all calls moved; None if nobody can tell of one of them."""
        known = [each for each in self._sockets if each is not None]
        if not known or len(known) < len(self._sockets):
            return None
        return SocketBytes(sum(each.sent for each in known), sum(each.received for each in known))


@dataclass(frozen=True)
class Relayed:
    """A text message: its length in the sharer's tokens, and who wrote it."""

    text: str
    tokens: int
    stages: tuple[StageTiming, ...]
    sharer_model: str


class SharerLink:
    """One address: its channel, what runs there, its circuit breaker, and the counters of its connection."""

    def __init__(
        self, name: str, place: Place, security: ClientSecurity, metrics: Metrics, *, port_shared: bool
    ) -> None:
        self.name = name
        self.address = place.address
        self.in_flight = 0
        #: The model it was last seen to run.
        self.binding: ModelBinding | None = None
        self.description: Description | None = None
        self._port_shared = port_shared
        self._peer = f"sharer {name} at {place.address}"
        self.breaker = Breaker(self._peer)
        self._shown = metrics.sharer_breaker
        self._shown.labels(name, place.address).set_function(lambda: self.breaker.state)
        self._ports = frozenset({port_of(place)})
        self._channel = security.channel(place.address, place.name)
        self._metadata = security.metadata()
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._sharer = sharer_service_pb2_grpc.SharerServiceStub(self._channel)
        # Bytes, as their digests are of these: what protobuf would write another time need not be the same.
        self._relay = self._channel.unary_unary("/kvwire.v1.SharerService/Relay", None, None)
        self._begun = 0

    async def describe(self, timeout_s: float | None) -> Description:
        """What the sharer runs; asked once and kept until a call fails.

        Raises:
            UnavailableError: The sharer cannot be reached.
        """
        if self.description is None:
            begun_s = time.monotonic()
            try:
                answer = await self._model.Describe(
                    model_service_pb2.DescribeRequest(), timeout=timeout_s, metadata=self._headers()
                )
            except grpc.aio.AioRpcError as error:
                raise self._failed(error, time.monotonic() - begun_s) from error
            self.description = description_from_proto(answer)
            self.binding = self.description.card.binding
        return self.description

    async def share(
        self, request: ShareRequest, timeout_s: float | None, meter: Meter
    ) -> AsyncGenerator[bytes | CacheChunk | CacheTrailer, None]:
        """Ask for a cache; yield the stream's parts, seals checked: header bytes, chunks, trailer.

        Raises:
            KvwireError: Whatever the sharer answered, or that it went away.
        """
        message = share_request_serde.to_proto(request)
        meter.count(message)
        before = self._begin()
        heard_s = time.monotonic()
        call = self._sharer.Share(message, timeout=timeout_s, metadata=self._headers())
        try:
            async for part in call:
                checked = stream_serde.part_from_proto(part)
                meter.count(part)
                yield checked
                heard_s = time.monotonic()
        except grpc.aio.AioRpcError as error:
            raise self._failed(error, time.monotonic() - heard_s) from error
        finally:
            call.cancel()
            self._end(before, meter)

    async def relay(
        self,
        info: RequestInfo,
        context: Input,
        exchange: Exchange,
        timeout_s: float | None,
        meter: Meter,
        *,
        sealed: bool,
    ) -> Relayed:
        """Ask for a text message; ``sealed``: the sharer is known to seal it.

        Raises:
            DataLossError: The request or the message was changed on the way.
            KvwireError: Whatever the sharer answered, or that it went away.
        """
        request = relay_serde.request_bytes(with_time_left(info, timeout_s), context, exchange)
        meter.grpc_bytes += len(request)
        before = self._begin()
        try:
            reply = await self._relay(request, timeout=timeout_s, metadata=self._headers())
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        finally:
            self._end(before, meter)
        meter.grpc_bytes += len(reply)
        answer = relay_serde.reply_from_bytes(reply, request, sealed=sealed)
        return Relayed(answer.text, answer.tokens, stages_from_proto(list(answer.stages)), answer.sharer.id)

    async def close(self) -> None:
        """Close the channel, and show its breaker no more."""
        self._shown.remove(self.name, self.address)
        await self._channel.close(None)

    def forget(self) -> None:
        """Describe the sharer anew next time: it may have been restarted with another model."""
        self.description = None

    def _failed(self, error: grpc.aio.AioRpcError, silent_s: float = 0.0) -> KvwireError:
        """The error of a call of which nothing was heard for so long though something should have been."""
        self.forget()
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and silent_s >= _STALLED_S:
            return StalledError(
                f"{self._peer} had been silent for {silent_s:.1f} s when its time was up; check that it runs, or allow "
                "more time"
            )
        return error_from_rpc(error, self._peer)

    def _headers(self) -> Headers:
        """Who calls, and as part of which trace."""
        return (*self._metadata, *span.get().headers())

    def _begin(self) -> tuple[SocketBytes | None, int]:
        self.in_flight += 1
        self._begun += 1
        # Connections are told apart by their remote port, so two sharers on one port cannot be.
        readable = self.in_flight == 1 and not self._port_shared
        return (socket_bytes(self._ports) if readable else None, self._begun)

    def _end(self, before: tuple[SocketBytes | None, int], meter: Meter) -> None:
        counters, begun = before
        moved = None
        if counters is not None and self.in_flight == 1 and self._begun == begun:
            after = socket_bytes(self._ports)
            moved = None if after is None else after - counters
        # A connection closed meanwhile took its counters with it.
        meter.connection(moved if moved is not None and moved.sent >= 0 and moved.received >= 0 else None)
        self.in_flight -= 1
