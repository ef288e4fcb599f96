"""What a request takes of its caller's allowance."""

from typing import Any

from google.protobuf.message import Message

from kvwire.callers.caller import Size
from kvwire.rpc.relay_serde import RelayAsked
from kvwire.v1 import model_service_pb2, receiver_service_pb2


def size_of(request: Any) -> Size:
    """Of a request message; a stream of requests counts as one of no size."""
    match request:
        case model_service_pb2.ScoreTogetherRequest():
            return Size(len(request.requests), request.ByteSize(), max(map(_new_tokens, request.requests), default=0))
        case receiver_service_pb2.InspectRequest():
            return Size(1, request.ByteSize(), _new_tokens(request.generate))
        case Message():
            return Size(1, request.ByteSize(), _new_tokens(request))
        case RelayAsked():
            return Size(1, len(request.data), request.message.max_new_tokens if request.message is not None else 0)
        case bytes():  # a cache is asked for as it came
            return Size(1, len(request))
        case _:
            return Size()


def _new_tokens(request: Any) -> int:
    """The longest text that a model is to write for a request, by the fields that say so where it has them."""
    written = getattr(request, "max_new_tokens", 0)
    return max(written, request.exchange.relay_max_tokens) if hasattr(request, "exchange") else written
