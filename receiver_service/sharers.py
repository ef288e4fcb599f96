"""The receiver's links to sharers it knows by name."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message

from kvwire.engine.worker import Task
from kvwire.errors import KvwireError, NotFoundError, StartError
from kvwire.model_card import Description
from kvwire.requests import Exchange, Input, RequestInfo
from kvwire.rpc import serde, stream_serde
from kvwire.rpc.enums import RELAY_MODE_NUMBERS
from kvwire.rpc.model_serde import description_from_proto
from kvwire.rpc.socket_bytes import SocketBytes, socket_bytes
from kvwire.rpc.status import error_from_rpc
from kvwire.security import ClientSecurity
from kvwire.stream import CacheChunk, CacheTrailer, ShareRequest
from kvwire.tracing import Headers, span
from kvwire.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    sharer_service_pb2,
    sharer_service_pb2_grpc,
)
from receiver_service.choosing.pace import Pace


@dataclass
class Meter:
    """Bytes of one exchange with a sharer, filled in as it goes."""

    grpc_bytes: int = 0
    socket: SocketBytes | None = None
    isolated: bool = False

    def count(self, message: Message) -> None:
        """Add a serialized message."""
        self.grpc_bytes += message.ByteSize()


class SharerLink:
    """One sharer: its channel, its description, the counters of its connection, and what it was seen to take."""

    def __init__(self, name: str, address: str, security: ClientSecurity, *, port_shared: bool) -> None:
        self.name = name
        self._port_shared = port_shared
        self._peer = f"sharer {name} at {address}"
        self._ports = frozenset({_port(name, address)})
        self._channel = security.channel(address)
        self._metadata = security.metadata()
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._sharer = sharer_service_pb2_grpc.SharerServiceStub(self._channel)
        self._description: Description | None = None
        self.pace = Pace()
        self._in_flight = 0
        self._begun = 0

    async def describe(self, task: Task) -> Description:
        """What the sharer runs; asked once and kept until a call fails.

        Raises:
            UnavailableError: The sharer cannot be reached.
        """
        if self._description is None:
            try:
                answer = await self._model.Describe(
                    model_service_pb2.DescribeRequest(), timeout=task.remaining_s(), metadata=self._headers()
                )
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error, self._peer) from error
            self._description = description_from_proto(answer)
        return self._description

    async def share(
        self, request: ShareRequest, task: Task, meter: Meter
    ) -> AsyncIterator[bytes | CacheChunk | CacheTrailer]:
        """Ask for a cache; yield the stream's parts, seals checked: header bytes, chunks, trailer.

        Raises:
            KvwireError: Whatever the sharer answered, or that it went away.
        """
        message = stream_serde.share_request_to_proto(request)
        meter.count(message)
        before = self._begin()
        call = self._sharer.Share(message, timeout=task.remaining_s(), metadata=self._headers())
        try:
            async for part in call:
                checked = stream_serde.part_from_proto(part)
                meter.count(part)
                yield checked
        except grpc.aio.AioRpcError as error:
            raise self.forget(error_from_rpc(error, self._peer)) from error
        finally:
            call.cancel()
            self._end(before, meter)

    async def relay(
        self,
        info: RequestInfo,
        context: Input,
        exchange: Exchange,
        task: Task,
        meter: Meter,
    ) -> sharer_service_pb2.RelayResponse:
        """Ask for a text message.

        Raises:
            KvwireError: Whatever the sharer answered, or that it went away.
        """
        message = sharer_service_pb2.RelayRequest(
            info=serde.info_to_proto(info),
            context=serde.input_to_proto(context),
            mode=RELAY_MODE_NUMBERS[exchange.relay],
            max_new_tokens=exchange.relay_max_tokens,
            instruction=exchange.relay_instruction,
        )
        meter.count(message)
        before = self._begin()
        try:
            answer = await self._sharer.Relay(message, timeout=task.remaining_s(), metadata=self._headers())
        except grpc.aio.AioRpcError as error:
            raise self.forget(error_from_rpc(error, self._peer)) from error
        finally:
            self._end(before, meter)
        meter.count(answer)
        return answer

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)

    def forget(self, error: KvwireError) -> KvwireError:
        """Describe the sharer anew next time: it may have been restarted with another model."""
        self._description = None
        return error

    def _headers(self) -> Headers:
        """Who calls, and as part of which trace."""
        return (*self._metadata, *span.get().headers())

    def _begin(self) -> tuple[SocketBytes | None, int]:
        self._in_flight += 1
        self._begun += 1
        # Connections are told apart by their remote port, so two sharers on one port cannot be.
        readable = self._in_flight == 1 and not self._port_shared
        return (socket_bytes(self._ports) if readable else None, self._begun)

    def _end(self, before: tuple[SocketBytes | None, int], meter: Meter) -> None:
        counters, begun = before
        if counters is not None and self._in_flight == 1 and self._begun == begun:
            after = socket_bytes(self._ports)
            moved = None if after is None else after - counters
            # A connection closed meanwhile took its counters with it.
            if moved is not None and moved.sent >= 0 and moved.received >= 0:
                meter.socket, meter.isolated = moved, True
        self._in_flight -= 1


class Sharers:
    """All sharers of a receiver."""

    def __init__(self, addresses: Mapping[str, str], security: ClientSecurity) -> None:
        ports = [_port(name, address) for name, address in addresses.items()]
        self._links = {
            name: SharerLink(name, address, security, port_shared=ports.count(_port(name, address)) > 1)
            for name, address in addresses.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names a request may use."""
        return tuple(self._links)

    def named(self, name: str) -> SharerLink:
        """A link by name; the empty name means the only one.

        Raises:
            NotFoundError: There is no such sharer, or the name is needed and missing.
        """
        if not name and len(self._links) == 1:
            return next(iter(self._links.values()))
        if name not in self._links:
            known = ", ".join(self._links) or "none; start the receiver with --sharers NAME=HOST:PORT"
            raise NotFoundError(f"no sharer is named {name!r} here; known: {known}")
        return self._links[name]

    async def models(self, task: Task) -> dict[str, str]:
        """The model each sharer runs, by the sharer's name; empty for one that does not answer."""

        async def model(link: SharerLink) -> str:
            try:
                return (await link.describe(task)).card.binding.id
            except KvwireError:
                return ""

        found = await asyncio.gather(*map(model, self._links.values()))
        return dict(zip(self._links, found, strict=True))

    async def close(self) -> None:
        """Close all channels."""
        for link in self._links.values():
            await link.close()


def _port(name: str, address: str) -> int:
    port = address.rpartition(":")[2]
    if not port.isdecimal():
        raise StartError(f"sharer {name} at {address!r} has no port; write NAME=HOST:PORT")
    return int(port)
