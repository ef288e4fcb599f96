"""Text relays: a request and its reply, protobuf to bytes and back. The reply says what it answers, and is sealed.

Its seal is a field of its own at the end, so that whoever does not know it reads the rest as ever.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

from google.protobuf.message import DecodeError

from kvwire.errors import DataLossError
from kvwire.requests import Exchange, Input, RequestInfo
from kvwire.rpc import serde
from kvwire.rpc.enums import RELAY_MODE_NUMBERS
from kvwire.rpc.parsed import parsed
from kvwire.v1 import sharer_service_pb2 as pb

#: The minor version of the protocol from which on a sharer seals its replies.
SEALS_RELAYS = 1

_DIGEST_BYTES = hashlib.sha256().digest_size

# As protobuf begins a field that has a length (2), and the length.
_SEAL_TAG = bytes([pb.RelayResponse.DIGEST_FIELD_NUMBER << 3 | 2, _DIGEST_BYTES])


def request_bytes(info: RequestInfo, context: Input, exchange: Exchange) -> bytes:
    """A receiver's request for a text message, as it is sent."""
    return pb.RelayRequest(
        info=serde.info_to_proto(info),
        context=serde.input_to_proto(context),
        mode=RELAY_MODE_NUMBERS[exchange.relay],
        max_new_tokens=exchange.relay_max_tokens,
        instruction=exchange.relay_instruction,
    ).SerializeToString()


@dataclass(frozen=True)
class RelayAsked:
    """A request as it came; ``message`` is None where the bytes are none, and :meth:`parsed` tells so."""

    data: bytes
    message: pb.RelayRequest | None

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Read it, whatever it is: what is wrong with it is told by the call, not by gRPC."""
        try:
            return cls(data, pb.RelayRequest.FromString(data))
        except DecodeError:
            return cls(data, None)

    def parsed(self) -> pb.RelayRequest:
        """The message.

        Raises:
            DataLossError: The bytes are not one.
        """
        return parsed(pb.RelayRequest, self.data, "a request") if self.message is None else self.message


def reply_bytes(reply: pb.RelayResponse, request: bytes) -> bytes:
    """A reply to a request that arrived as these bytes, with what it answers and its seal."""
    reply.request_digest = hashlib.sha256(request).digest()
    data = reply.SerializeToString()
    return data + _SEAL_TAG + hashlib.sha256(data).digest()


def reply_from_bytes(data: bytes, request: bytes, *, sealed: bool) -> pb.RelayResponse:
    """Read a reply; ``request`` as it was sent. Without ``sealed`` it may be of a peer that knows of no seals.

    Raises:
        DataLossError: The reply was changed on the way, or the request was.
    """
    length = len(data) - len(_SEAL_TAG) - _DIGEST_BYTES
    body, seal = data[: max(0, length)], data[max(0, length) :]
    whole = seal == _SEAL_TAG + hashlib.sha256(body).digest()
    reply = parsed(pb.RelayResponse, data, "a relayed text")
    if not whole and (sealed or reply.digest or reply.request_digest):
        raise DataLossError("a relayed text arrived with a wrong checksum; it was changed on the way, retry the call")
    if whole and reply.request_digest != hashlib.sha256(request).digest():
        raise DataLossError("a relayed text answers another request; that was changed on the way, retry the call")
    return reply
