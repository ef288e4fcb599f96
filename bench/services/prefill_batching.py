"""Contexts that a sharer reads together, over as many read one after the other: caches per second over the wire.

All are of 64 tokens, of each its own, int8, and nothing is kept. ``kvwire bench --part "contexts read together"``.
"""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from bench.services.wire import SHARE, Reader
from kvwire.client import Client
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Method, RequestInfo, TokenIds
from kvwire.rpc.share_request_serde import to_proto
from kvwire.stream import ShareRequest

_TOKENS = 64
_TOGETHER = (2, 4, 8)


async def _readers(address: str) -> list[Reader]:
    """One for each context."""
    async with Client(address) as client:
        card = (await client.describe()).card
    ids = np.random.default_rng(0).integers(100, card.vocabulary, (max(_TOGETHER), _TOKENS)).tolist()
    readers = []
    for index, context in enumerate(ids):
        info = RequestInfo(f"batching {index}")
        asked = ShareRequest(info, Method.PREFIX, TokenIds(tuple(context)), "int8", card.binding, card.binding)
        readers.append(Reader(address, SHARE, to_proto(asked).SerializeToString()))
    return readers


async def _one_by_one_s(readers: Sequence[Reader]) -> float:
    begun = time.perf_counter()
    for reader in readers:
        await reader.messages()
    return time.perf_counter() - begun


async def _together_s(readers: Sequence[Reader]) -> float:
    begun = time.perf_counter()
    await asyncio.gather(*(reader.messages() for reader in readers))
    return time.perf_counter() - begun


async def _rounds(address: str, rounds: int) -> dict[int, list[float]]:
    """Ratios of neighbours, by how many together."""
    readers = await _readers(address)
    found: dict[int, list[float]] = {count: [] for count in _TOGETHER}
    for index in range(rounds + 1):
        for count, ratios in found.items():
            alone_s, together_s = await _one_by_one_s(readers[:count]), await _together_s(readers[:count])
            if index:  # the first round opens connections and faults memory in
                ratios.append(alone_s / together_s)
    for reader in readers:
        await reader.close()
    return found


def measure(model: str, rounds: int, device: str = "cpu", threads: int = 2) -> dict[str, object]:
    """``prefill_8_together_over_alone`` and the like: medians, and all rounds."""
    free = [*FREE_PORTS, "--log-level", "warning"]
    own = ["--model", model, "--device", device, "--threads", str(threads)]
    with running_service("sharer_service", [*own, *free]) as sharer:
        found = asyncio.run(_rounds(sharer.address, rounds))
    medians = {f"prefill_{count}_together_over_alone": float(np.median(ratios)) for count, ratios in found.items()}
    return {**medians, "rounds": found}
