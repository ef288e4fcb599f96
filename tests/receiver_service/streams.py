"""Streams of a sharer's, as serialized messages, and what a receiver's intake makes of them."""

from dataclasses import replace

from kvwire.errors import DataLossError
from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope
from kvwire.requests import Method, RequestInfo, TokenIds
from kvwire.rpc import share_request_serde, stream_serde
from kvwire.stream import CacheHeader, ChunkWriter, Frame, ShareRequest
from kvwire.v1 import sharer_service_pb2
from receiver_service.intake import Intake

BINDING = ModelBinding("tiny", "1", b"w" * 32, b"t" * 32)
ROPE = Rope("default", (1.0, 0.5), 1.0)
CARD = ModelCard(BINDING, "llama", "", "float32", "cpu", 1, 4, 512, 2048, (ROPE,), (LayerCard(0, 0),) * 3)
REQUEST = ShareRequest(
    RequestInfo("r1"),
    Method.PREFIX,
    TokenIds((1, 2)),
    "fp32",
    expected_sharer=BINDING,
    receiver=BINDING,
    head=(9,),
    first_slot_position=1,
)
DIGEST = share_request_serde.digest(REQUEST)
HEADER = CacheHeader(
    protocol_version=1,
    frame_version=1,
    request_id="r1",
    sharer=BINDING,
    receiver_tokenizer_fingerprint=b"t" * 32,
    fuser_fingerprint=b"",
    codec="fp32",
    layers=3,
    kv_heads=1,
    head_dim=4,
    ropes=(ROPE,),
    layer_ropes=(0, 0, 0),
    source_tokens=2,
    first_position=1,
    slots=2,
    first_slot_position=1,
    request_digest=DIGEST,
)
FRAMES = (b"first layer", b"second layer's frame", b"third")


def stream(header=HEADER, frames=FRAMES):
    """A whole stream as serialized messages."""
    sealed = stream_serde.header_bytes(header)
    writer = ChunkWriter(sealed)
    parts = [stream_serde.sealed_header(sealed)]
    for layer, frame in enumerate(frames):
        chunks = map(stream_serde.chunk_message, writer.write(Frame(layer, frame)))
        parts += map(sharer_service_pb2.ShareResponse.FromString, chunks)
    parts.append(stream_serde.sealed_trailer(writer.trailer(header.values, ())))
    return [part.SerializeToString() for part in parts]


def receive(messages, max_cache_bytes=1 << 20, request=REQUEST):
    """What a receiver makes of serialized messages: the frames by layer, or an error."""
    intake = Intake(request, CARD, max_cache_bytes)
    frames, ended = {}, False
    for message in messages:
        part = stream_serde.part_from_proto(sharer_service_pb2.ShareResponse.FromString(message))
        if isinstance(part, bytes):
            intake.header(part, stream_serde.header_from_bytes(part))
        elif hasattr(part, "digest"):
            intake.trailer(part)
            ended = True
        elif (whole := intake.chunk(part)) is not None:
            frames[whole[0]] = whole[1]
    if not ended:
        raise DataLossError("no trailer")
    return frames


def accepted(header, request=REQUEST):
    """Hold a header that answers a request against it."""
    header = replace(header, request_digest=share_request_serde.digest(request))
    data = stream_serde.header_bytes(header)
    intake = Intake(request, CARD, 1 << 20)
    intake.header(data, stream_serde.header_from_bytes(data))
