"""Who hangs up stops the work: within one layer or 100 ms, the longer, by the processor's own account."""

import asyncio
import time

import pytest

from bench.services.processor import cpu_s
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, TokenIds

pytestmark = [pytest.mark.slow, pytest.mark.model]

LAYERS = 30
CONTEXT = TokenIds(tuple(1000 + index for index in range(1500)))
SHORT = GenerateRequest(TokenIds((1000,)), None, Exchange(Method.RECEIVER_ONLY), 1, ignore_eos=True)
#: Of one clock tick, by which processors are accounted, twice; and of gRPC telling the service.
TOLERANCE_S = 0.05


@pytest.fixture(scope="module")
def real(smollm2, tmp_path_factory):
    """SmolLM2 on both sides, a thread each, so that seconds of the processor are seconds of compute."""
    model, logs = f"path:{smollm2.path}", tmp_path_factory.mktemp("logs")
    with running_pair(Pair(model, model), ["--threads", "1", "--log-level", "warning"], logs) as services:
        yield services


def working(service):
    """Whether a request is in flight there or has memory."""
    found = Scrape.of(service.metrics)
    return found.total("kvwire_requests_in_flight") or found.total("kvwire_cache_memory_bytes")


async def free(service, client, short):
    """Wait until nothing is in flight and the compute thread has answered a question of one token."""
    while await asyncio.to_thread(working, service):
        pass
    await client.generate_all(short)


@pytest.mark.parametrize(
    ("method", "side", "new_tokens", "begun"),
    [
        (Method.RECEIVER_READS, 1, 1, "prefill"),
        (Method.PREFIX, 0, 1, "prefill"),
        (Method.RECEIVER_ONLY, 1, 2000, "decode"),
    ],
    ids=["receiver's prefill", "sharer's prefill", "decode"],
)
async def test_a_caller_that_hangs_up_stops_the_computation_and_frees_its_memory(real, method, side, new_tokens, begun):
    """In the middle of a prefill on either side, and in the middle of an answer."""
    service, address = real[side], real[side].address
    short = SHORT if side else GenerateRequest(SHORT.prompt, None, Exchange(Method.SHARER_ONLY), 1, ignore_eos=True)
    context = CONTEXT if begun == "prefill" else None
    request = GenerateRequest(
        TokenIds((1000,) * 4), context, Exchange(method, codec="int8"), new_tokens, ignore_eos=True
    )
    async with Client(real[1].address) as client, Client(address) as own:
        await own.generate_all(short)
        before_s = cpu_s(service)
        await free(service, own, short)
        idle_s = cpu_s(service) - before_s
        if begun == "prefill":
            report = (await client.generate_all(request)).report
            step_s = report.stage_s("prefill", "receiver" if side else "sharer") / LAYERS
        else:
            step_s = 0.0
        after_s = list[float]()
        for _ in range(5):
            answer = asyncio.create_task(client.generate_all(request))
            start_s = cpu_s(service)
            while cpu_s(service) - start_s < 1.0:  # well within it
                await asyncio.to_thread(time.sleep, 0.01)
            answer.cancel()
            stopped_s = cpu_s(service)
            await asyncio.wait([answer])
            await free(service, own, short)
            after_s.append(cpu_s(service) - stopped_s - idle_s)
    median_s = sorted(after_s)[2]
    print(
        f"\n{method}, {begun}: computed {1000 * median_s:.0f} ms on after the caller hung up, a layer takes "
        f"{1000 * step_s:.0f} ms; all {[round(1000 * each) for each in after_s]}"
    )
    assert median_s <= max(step_s, 0.1) + TOLERANCE_S
