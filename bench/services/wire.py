"""``Share`` of a context that a sharer has read before, over a bare gRPC stream of the same messages: bytes per second.

Both streams are read by the same client as they come, without parsing. ``kvwire bench --part "the wire alone"``.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from bench.services.bare.stream import METHOD as BARE
from bench.services.facts import facts
from kvwire.client import Client
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Method, RequestInfo, Text
from kvwire.rpc.share_request_serde import to_proto
from kvwire.security import ClientSecurity
from kvwire.stream import ShareRequest

#: The method of a raw call.
SHARE = "/kvwire.v1.SharerService/Share"
#: Some 1,024 of SmolLM2's tokens: 23 MB in fp16.
_CHARACTERS = 4250
#: Streams of each kind in a round.
_STREAMS = 5


class Reader:
    """Reads whole streams of one server."""

    def __init__(self, address: str, method: str, request: bytes) -> None:
        self._channel: grpc.aio.Channel = ClientSecurity().channel(address)
        self._call = self._channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)
        self._request = request

    async def messages(self) -> list[bytes]:
        """All messages of a stream."""
        return [message async for message in self._call(self._request)]

    async def bytes_per_s(self, streams: int) -> float:
        """Bytes over seconds from the first call to the end of the last stream."""
        begun, count = time.perf_counter(), 0
        for _ in range(streams):
            async for message in self._call(self._request):
                count += len(message)
        return count / (time.perf_counter() - begun)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close(None)


async def _request(address: str, codec: str) -> bytes:
    """What a receiver of the same model asks for."""
    async with Client(address) as client:
        binding = (await client.describe()).card.binding
    info, context = RequestInfo("wire"), Text(facts(_CHARACTERS))
    asked = ShareRequest(info, Method.PREFIX, context, codec, binding, binding)
    return to_proto(asked).SerializeToString()


async def _by_turns(share: Reader, bare: Reader, rounds: int) -> list[tuple[float, float]]:
    found = [(await share.bytes_per_s(_STREAMS), await bare.bytes_per_s(_STREAMS)) for _ in range(rounds + 1)]
    return found[1:]  # the first round opens connections and faults memory in


async def _recorded(sharer: str, codec: str) -> tuple[bytes, Sequence[bytes]]:
    request = await _request(sharer, codec)
    reader = Reader(sharer, SHARE, request)
    messages = await reader.messages()
    await reader.close()
    return request, messages


async def _compared(sharer: str, bare: str, request: bytes, rounds: int) -> list[tuple[float, float]]:
    readers = Reader(sharer, SHARE, request), Reader(bare, BARE, b"")
    found = await _by_turns(*readers, rounds)
    for reader in readers:
        await reader.close()
    return found


def over_bare(sharer: str, codec: str, rounds: int) -> dict[str, Any]:
    """A codec's median ratio and both speeds; the sharer reads the context on the first call and keeps it."""
    request, messages = asyncio.run(_recorded(sharer, codec))
    with tempfile.TemporaryDirectory() as folder:
        for index, message in enumerate(messages):
            (Path(folder) / f"{index:06d}").write_bytes(message)
        with running_service("bench.services.bare.stream", ["--messages", folder]) as bare:
            found = asyncio.run(_compared(sharer, bare.address, request, rounds))
    share, alone = zip(*found, strict=True)
    return {
        "codec": codec,
        "wire_over_bare_grpc": float(np.median(np.array(share) / np.array(alone))),
        "stream_bytes": sum(map(len, messages)),
        "messages": len(messages),
        "share_bytes_s": share,
        "bare_bytes_s": alone,
    }


def measure(model: str, rounds: int, device: str = "cpu", threads: int = 2) -> dict[str, object]:
    """``wire_over_bare_grpc`` of fp16, and all rounds of it and of int8."""
    free = [*FREE_PORTS, "--log-level", "warning"]
    own = ["--model", model, "--device", device, "--threads", str(threads), "--reuse-bytes", str(1 << 30)]
    with ExitStack() as stack:
        sharer = stack.enter_context(running_service("sharer_service", [*own, *free]))
        found = [over_bare(sharer.address, codec, rounds) for codec in ("fp16", "int8")]
    return {"wire_over_bare_grpc": found[0]["wire_over_bare_grpc"], "streams": found}
