"""Sharers die, come back and change, callers hang up: what is left goes on. Policies: test_policies.py."""

import asyncio

import pytest

from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.errors import BindingError, UnavailableError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, Text, TokenIds

LONG = TokenIds(tuple(range(4, 504)))
ONE_THREAD = ["--threads", "1", "--log-level", "warning", *FREE_PORTS]


def asked(on_fault=FaultPolicy.FAIL):
    exchange = Exchange(method=Method.PREFIX, codec="fp32", on_fault=on_fault)
    return GenerateRequest(Text("hello"), LONG, exchange, max_new_tokens=4, ignore_eos=True)


async def test_a_sharer_killed_in_mid_stream_is_unavailable(hurtful, tiny_llama, tmp_path):
    """Kill -9 while layers are on the wire: no answer from half a cache, and the receiver goes on alone.

    What the kernel still holds of a dead process is sent, and may be all there is: here it is lost with its machine.
    """
    with running_service("sharer_service", ["--model", f"path:{tiny_llama}", *ONE_THREAD], tmp_path / "log") as sharer:

        def kill(offset, data):
            if offset + len(data) > 200_000:
                sharer.process.kill()
                return None
            return data

        async with hurtful(kill, sharer.address) as receiver:
            with pytest.raises(UnavailableError):
                await receiver.generate_all(asked())
            alone = await receiver.generate_all(asked(FaultPolicy.RECEIVER_ONLY))
    assert alone.report.path is Method.RECEIVER_ONLY


@pytest.mark.slow
async def test_a_sharer_that_died_comes_back_and_is_used_again(tiny_llama, tmp_path):
    """The receiver says that it is gone, and finds the next one at the same address."""
    model = ["--model", f"path:{tiny_llama}"]
    with running_service("sharer_service", [*model, *ONE_THREAD], tmp_path / "a.log") as sharer:
        known = ["--sharers", f"sharer={sharer.address}"]
        with running_service("receiver_service", [*model, *known, *ONE_THREAD], tmp_path / "r.log") as receiver:
            async with Client(receiver.address) as client:
                before = await client.generate_all(asked())
                sharer.process.kill()
                sharer.process.wait()
                with pytest.raises(UnavailableError, match="check that it runs"):
                    await client.generate_all(asked())
                again = [*model, *ONE_THREAD, "--listen", sharer.address]
                with running_service("sharer_service", again, tmp_path / "b.log"):
                    after = await _until_served(client)
    assert [t.id for t in after.tokens] == [t.id for t in before.tokens]


@pytest.mark.slow
async def test_a_sharer_replaced_by_another_model_is_refused(tiny_llama, tiny_qwen2, tmp_path):
    """The identity fuser works for one model only; the receiver notices the change, and its mending, by itself."""
    with running_service(
        "sharer_service", ["--model", f"path:{tiny_llama}", *ONE_THREAD], tmp_path / "a.log"
    ) as sharer:
        known = ["--model", f"path:{tiny_llama}", "--sharers", f"sharer={sharer.address}"]
        with running_service("receiver_service", [*known, *ONE_THREAD], tmp_path / "r.log") as receiver:
            async with Client(receiver.address) as client:
                await client.generate_all(asked())
                sharer.process.kill()
                sharer.process.wait()
                other = ["--model", f"path:{tiny_qwen2}", *ONE_THREAD, "--listen", sharer.address]
                with running_service("sharer_service", other, tmp_path / "b.log"):
                    with pytest.raises(
                        BindingError, match=r"expected sharer|replaced by another|one model on both sides"
                    ):
                        await _until_served(client)
                    with pytest.raises(BindingError, match="one model on both sides"):
                        await client.generate_all(asked())
                right = ["--model", f"path:{tiny_llama}", *ONE_THREAD, "--listen", sharer.address]
                with running_service("sharer_service", right, tmp_path / "c.log"):
                    assert (await _until_served(client)).tokens


async def test_a_caller_that_hangs_up_frees_the_receiver(pair):
    """Its request ends in mid-answer, as cancelled; the next one is served."""

    def scraped():
        return asyncio.to_thread(Scrape.of, pair.receiver.metrics)

    before = await scraped()
    async with pair.receiver_client() as receiver:
        endless = GenerateRequest(Text("hello"), None, Exchange(Method.RECEIVER_ONLY), 1000, ignore_eos=True)
        stream = receiver.generate(endless)
        await anext(stream)
        await stream.aclose()
        while (await scraped()).total("kvwire_requests_in_flight"):
            pass
        counted = (await scraped()).since(before)
        assert (await receiver.generate_all(asked())).tokens
    assert counted.total("kvwire_failures_total", code="CANCELLED", method="receiver_only") == 1
    assert counted.total("kvwire_answers_total") == 0


async def _until_served(client):
    """The first answer after a restart; while the channel reconnects, calls fail fast."""
    while True:
        try:
            return await client.generate_all(asked())
        except UnavailableError:
            await asyncio.sleep(0)
