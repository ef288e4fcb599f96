"""Share streams without services: sent by the sharer's own code, received by the receiver's, no model and no gRPC.

Keys and values are random; what makes frames of them, cuts, seals and serializes them, and what parses, verifies,
decodes and hands them on, is what runs in the services.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from google.protobuf.message import DecodeError

from codec.calibration import Calibration, serialize
from codec.codec import Codec
from codec.layer import LayerKV
from codec.spec import CodecSpec, RopePhase
from fuser.layers import rope_table
from fuser.projectors.identity import IdentityFuser
from kvwire.engine.question import Question
from kvwire.engine.worker import Task
from kvwire.errors import KvwireError
from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope
from kvwire.progress import Stopwatch
from kvwire.report import StageTiming
from kvwire.requests import Exchange, Method, RequestInfo, Text
from kvwire.rpc import share_request_serde, stream_serde
from kvwire.stream import CHUNK_BYTES, CacheHeader, ChunkWriter, Frame, ShareRequest
from kvwire.v1 import sharer_service_pb2 as pb
from receiver_service.held import held_caches
from receiver_service.receive import CacheIntake, Wanted
from receiver_service.received import Named, Received

# Those of the golden tables of rd.
LAYERS, HEADS, HEAD_DIM = 2, 2, 16
TOKENS = 9
ROPE = Rope("default", tuple(2.0**-i for i in range(HEAD_DIM // 2)), 1.0)
BINDING = ModelBinding("tiny", "1", bytes(32), b"t" * 32)
CARD = ModelCard(
    BINDING, "llama", "", "float32", "cpu", HEADS, HEAD_DIM, 512, 2048, (ROPE,), (LayerCard(0, 0),) * LAYERS
)
HEAD, _QUESTION = (9,), (5, 6)
INFO = RequestInfo("a request", "somebody")
#: One for all streams: to start a loop takes longer than most of them.
_LOOP = asyncio.new_event_loop()
_TABLES = Path(__file__).parents[1] / "golden" / "codec" / "rd-tables.npz"


@cache
def calibration() -> Calibration:
    """The golden tables, as if they were made for this model."""
    with np.load(_TABLES) as stored:
        return Calibration.parse(serialize(BINDING.id, BINDING.weights_fingerprint, dict(stored)), "golden tables")


def codec_of(spec: str) -> Codec:
    """A codec that may need the model's tables."""
    parsed = CodecSpec.parse(spec)
    return Codec(parsed, rope_table(CARD), calibration() if parsed.base.name == "rd" else None)


def frame(codec: Codec, layer: int, seed: int = 0) -> bytes:
    """One layer of random numbers; a selector finds attention in it."""
    generator = torch.Generator().manual_seed(100 * seed + layer)
    keys, values = (torch.randn(HEADS, TOKENS, HEAD_DIM, generator=generator) for _ in range(2))
    attention = torch.rand(HEADS, TOKENS, generator=generator)
    kv = LayerKV(layer, keys, values, RopePhase.POST, TOKENS, attention=attention)
    return codec.encode_layer(kv, torch.arange(len(HEAD), len(HEAD) + TOKENS))


def facts(kv: LayerKV) -> tuple[object, ...]:
    """Everything of a layer, to be compared bit for bit."""
    tensors = (kv.keys, kv.values, *(() if kv.slots is None else (kv.slots,)))
    return (kv.layer, kv.rope, kv.tokens, *((tuple(each.shape), each.numpy().tobytes()) for each in tensors))


@dataclass(frozen=True)
class Arrived:
    """What a receiver has of a stream: layers as they were decoded, and what its report is made from."""

    layers: dict[int, LayerKV]
    received: Received

    @cached_property
    def facts(self) -> tuple[object, ...]:
        """All of it, to be compared: equal facts mean that nobody could tell two arrivals apart."""
        moved = replace(self.received.bytes, grpc_bytes=0)  # measured here, not told by the sharer
        return ([facts(kv) for kv in self.layers.values()], self.received.header, self.received.stages, moved)


class Pair:
    """A sharer that sends one cache in one codec, and a receiver that asks for it."""

    def __init__(self, spec: str, info: RequestInfo = INFO, seed: int = 0, chunk_bytes: int = CHUNK_BYTES) -> None:
        """``seed`` of the numbers that are sent, in chunks of ``chunk_bytes``."""
        self._codec = codec_of(spec)
        self._info = info
        self._seed = seed
        self._chunk_bytes = chunk_bytes
        self._asked = b""

    def request(self) -> bytes:
        """The serialized request."""
        with suppress(KvwireError):  # there is no answer yet
            self.receive([])
        return self._asked

    def messages(self) -> list[bytes]:
        """The serialized parts of the stream that answers it."""
        return self.answer(self.request())

    def answer(self, request: bytes) -> list[bytes]:
        """What the sharer sends to a request as it arrived.

        Raises:
            KvwireError: It does not take it.
        """
        asked = share_request_serde.from_bytes(request)
        codec = codec_of(asked.codec)
        header = replace(_header(asked, codec), request_digest=hashlib.sha256(request).digest())
        sealed = stream_serde.header_bytes(header)
        writer = ChunkWriter(sealed)
        parts = [stream_serde.sealed_header(sealed)]
        with mock.patch("kvwire.stream.CHUNK_BYTES", self._chunk_bytes):
            for layer in range(LAYERS):
                parts += map(stream_serde.chunk_message, writer.write(Frame(layer, frame(codec, layer, self._seed))))
        stages = (StageTiming("prefill", "sharer", 0.25), StageTiming("encode", "sharer", 0.125))
        parts.append(stream_serde.sealed_trailer(writer.trailer(header.values, stages)))
        return [stream_serde.serialized(part) for part in parts]

    def receive(self, messages: Sequence[bytes]) -> Arrived:
        """What the receiver makes of serialized messages.

        Raises:
            KvwireError: It noticed something.
        """
        layers: dict[int, LayerKV] = {}
        link = _Link(messages)
        intake = CacheIntake(
            engine=SimpleNamespace(card=CARD, max_tokens=64),
            worker=_Worker(),
            tries=_Tries(link),
            named=Named("identity", IdentityFuser()),
            spec=self._codec.spec,
            calibrations=SimpleNamespace(needed=lambda *_: self._codec.calibration),
            held=held_caches(0),
            max_cache_bytes=1 << 20,
        )
        question = Question(self._info, None, Text(""), Exchange(), 0, Task(), Stopwatch("receiver"))
        wanted = Wanted(Method.PREFIX, Text("some words that only the sharer reads"), HEAD, _QUESTION)
        try:
            receiving = intake.receive(question, wanted, opened=_opened, ready=lambda _, found: layers.update(found))
            return Arrived(layers, _LOOP.run_until_complete(receiving))
        finally:
            self._asked = link.asked


def _header(asked: ShareRequest, codec: Codec) -> CacheHeader:
    return CacheHeader(
        protocol_version=1,
        frame_version=1,
        request_id=asked.info.request_id,
        sharer=BINDING,
        receiver_tokenizer_fingerprint=asked.receiver.tokenizer_fingerprint,
        fuser_fingerprint=asked.fuser_fingerprint,
        codec=str(codec.spec),
        layers=LAYERS,
        kv_heads=HEADS,
        head_dim=HEAD_DIM,
        ropes=CARD.ropes,
        layer_ropes=tuple(layer.rope for layer in CARD.layers),
        source_tokens=TOKENS,
        first_position=len(asked.head),
        slots=TOKENS,
        first_slot_position=asked.first_slot_position,
        table_digests=(codec.calibration.digest,) if codec.calibration else (),
        content_digest=hashlib.sha256(repr(asked.context).encode()).digest(),
    )


class _Worker:
    """Computes at once."""

    async def run(self, work, _task):
        return work()


class _Link:
    """A sharer's link whose stream has come already; what is asked is noted as it would be sent."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._messages = messages
        self.asked = b""

    async def share(self, request, _timeout_s, _meter):
        self.asked = share_request_serde.to_proto(request).SerializeToString()
        for message in self._messages:
            yield stream_serde.part_from_proto(_parsed(message))


class _Tries:
    """Calls that link once: what would be noticed by another try is noticed by the first."""

    replicas = SimpleNamespace(pace=SimpleNamespace(learn=lambda *_: None), forget=lambda: None)
    tally = SimpleNamespace(used=lambda _: None)

    def __init__(self, link: _Link) -> None:
        self._link = link

    def left_s(self):
        return None

    async def described(self):
        return SimpleNamespace(card=CARD)

    async def run(self, call):
        return await call(self._link, await self.described())


def _parsed(message: bytes) -> pb.ShareResponse | None:
    """As gRPC does it."""
    try:
        return pb.ShareResponse.FromString(message)
    except DecodeError:
        return None


async def _opened(_header: CacheHeader) -> None:
    pass
