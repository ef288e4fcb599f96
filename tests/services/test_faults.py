"""The sharer fails, on real sockets: the policy holds, and what arrives damaged is loud."""

import asyncio

import pytest

from kvwire.client import Client
from kvwire.errors import BindingError, DataLossError, UnavailableError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, Text, TokenIds

LONG = TokenIds(tuple(range(4, 504)))
ONE_THREAD = ["--threads", "1", "--log-level", "warning", *FREE_PORTS]


def asked(on_fault=FaultPolicy.FAIL):
    exchange = Exchange(method=Method.PREFIX, codec="fp32", on_fault=on_fault)
    return GenerateRequest(Text("hello"), LONG, exchange, max_new_tokens=4, ignore_eos=True)


def flip_at(position):
    """Flip one bit of the byte at ``position`` of what the sharer sends."""

    def hurt(offset, data):
        if not offset <= position < offset + len(data):
            return data
        changed = bytearray(data)
        changed[position - offset] ^= 4
        return bytes(changed)

    return hurt


def cut_at(position):
    """End the connection once ``position`` bytes have passed."""
    return lambda offset, data: data if offset + len(data) < position else None


@pytest.mark.slow
async def test_an_unhurt_relay_changes_nothing(hurtful):
    """The laboratory itself is sound."""
    async with hurtful(lambda _, data: data) as receiver:
        assert (await receiver.generate_all(asked())).report.path == "prefix"


@pytest.mark.parametrize(
    "position", [200_000, *(pytest.param(at, marks=pytest.mark.slow) for at in (100_000, 300_000))]
)
async def test_a_flipped_bit_on_the_wire_is_reported_as_data_loss(hurtful, position):
    """In the middle of three different layers."""
    async with hurtful(flip_at(position)) as receiver:
        with pytest.raises(DataLossError, match="checksum"):
            await receiver.generate_all(asked())
        assert await receiver.describe()


@pytest.mark.parametrize("position", [pytest.param(20_000, marks=pytest.mark.slow), 400_000])
async def test_a_stream_cut_on_the_way_is_unavailable(hurtful, position):
    """Nothing half-done is answered from."""
    async with hurtful(cut_at(position)) as receiver:
        with pytest.raises(UnavailableError):
            await receiver.generate_all(asked())
        assert await receiver.describe()


async def test_a_cut_stream_falls_back_to_the_receiver_alone_and_says_so(hurtful):
    """The answer is the receiver's own, and the report tells why."""
    async with hurtful(cut_at(200_000)) as receiver:
        answer = await receiver.generate_all(asked(FaultPolicy.RECEIVER_ONLY))
        alone = GenerateRequest(Text("hello"), None, Exchange(Method.RECEIVER_ONLY), 4, ignore_eos=True)
        expected = await receiver.generate_all(alone)
    assert answer.report.path is Method.RECEIVER_ONLY
    assert "UNAVAILABLE" in answer.report.reason
    assert [t.id for t in answer.tokens] == [t.id for t in expected.tokens]


async def test_a_damaged_stream_falls_back_to_text(hurtful):
    """The relay is not hurt: its answer is short of the damaged byte."""
    async with hurtful(flip_at(200_000)) as receiver:
        exchange = Exchange(Method.PREFIX, codec="fp32", on_fault=FaultPolicy.TEXT, relay_max_tokens=4)
        context = Text("Each Contributor hereby grants to You a perpetual license. " * 12)
        request = GenerateRequest(Text("hello"), context, exchange, max_new_tokens=4, ignore_eos=True)
        answer = await receiver.generate_all(request)
    assert answer.report.path is Method.TEXT
    assert "DATA_LOSS" in answer.report.reason
    assert answer.report.tokens.relayed > 0


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
                    with pytest.raises(BindingError, match=r"expected sharer|one model on both sides"):
                        await _until_served(client)
                    with pytest.raises(BindingError, match="one model on both sides"):
                        await client.generate_all(asked())
                right = ["--model", f"path:{tiny_llama}", *ONE_THREAD, "--listen", sharer.address]
                with running_service("sharer_service", right, tmp_path / "c.log"):
                    assert (await _until_served(client)).tokens


async def test_a_caller_that_hangs_up_frees_the_receiver(pair):
    """Cancelling in mid-answer stops the decoding; the next request is served at once."""
    async with pair.receiver_client() as receiver:
        endless = GenerateRequest(Text("hello"), None, Exchange(Method.RECEIVER_ONLY), 1000, ignore_eos=True)
        stream = receiver.generate(endless)
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(10):
            assert (await receiver.generate_all(asked())).tokens


async def _until_served(client):
    """The first answer after a restart; while the channel reconnects, calls fail fast."""
    while True:
        try:
            return await client.generate_all(asked())
        except UnavailableError:
            await asyncio.sleep(0)
