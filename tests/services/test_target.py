"""A target over the real wire: the receiver chooses how a question is answered, and the report says what and why."""

import re

import pytest

from kvwire.client import Client
from kvwire.errors import InvalidRequestError, SpecError
from kvwire.link.shape import Shape
from kvwire.processes import FREE_PORTS, running_link, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text, TokenIds
from tests.services.conftest import ONE_THREAD

CONTEXT = TokenIds(tuple(range(4, 304)))


async def answer(client, policy, codec="fp16", method=Method.PREFIX, context=CONTEXT):
    exchange = Exchange(method, codec=codec, policy=policy)
    return await client.generate_all(GenerateRequest(Text("What does the Contributor grant?"), context, exchange, 4))


async def payload_bytes(client, codec):
    return (await answer(client, "", codec)).report.bytes.payload_bytes


@pytest.mark.parametrize(("codec", "coarser"), [("fp16", "int8"), ("int8", "nf4")])
async def test_bytes_are_kept_to_by_the_best_codec_that_does(pair, codec, coarser):
    """One byte less, and it is the next one."""
    async with pair.receiver_client() as receiver:
        whole = await payload_bytes(receiver, codec)
        enough = (await answer(receiver, f"bytes={whole}")).report
        one_less = (await answer(receiver, f"bytes={whole - 1}")).report
    assert (enough.codec, enough.bytes.payload_bytes) == (codec, whole)
    assert (one_less.codec, one_less.bytes.payload_bytes < whole) == (coarser, True)


async def test_options_of_the_codec_stay(pair):
    """Its base is the receiver's choice."""
    async with pair.receiver_client() as receiver:
        whole = await payload_bytes(receiver, "int8+keep=0.5,by=key_norm")
        report = (await answer(receiver, f"bytes={whole}", "fp32+keep=0.5,by=key_norm")).report
    assert report.codec == "int8+keep=0.5,by=key_norm"


async def test_bytes_that_nothing_keeps_to_are_refused_with_those_that_would_do(pair):
    """And by which codec."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(SpecError.__base__, match="bytes=100 is too small: nf4") as refused:
            await answer(receiver, "bytes=100")
        enough = int(re.search(r"takes about (\d+) bytes", str(refused.value))[1])
        assert (await answer(receiver, f"bytes={enough}")).report.bytes.payload_bytes <= enough


async def test_with_all_the_time_in_the_world_the_cache_comes_as_fp16(pair):
    """The report tells what was asked for, what was done, and what each way was forecast to take."""
    async with pair.receiver_client() as receiver:
        report = (await answer(receiver, "ttft=100s")).report
    assert (report.method, report.path, report.codec) == (Method.PREFIX, Method.PREFIX, "fp16")
    assert report.reason.startswith("ttft=100000ms: fp16 is the best in time; forecast: fp16 ")
    assert "reading again " in report.reason


@pytest.mark.slow
async def test_behind_a_slow_link_the_receiver_reads_again(pair):
    """A cache of 300 tokens takes 2 s there, which one answer taught it; before, it asked for the best."""
    with running_link(pair.sharer.address, Shape(rate_bytes_s=40_000)) as link:
        addresses = [*FREE_PORTS, "--sharers", f"far={link.address}"]
        with running_service("receiver_service", ["--model", f"path:{pair.model}", *addresses, *ONE_THREAD]) as service:
            async with Client(service.address) as receiver:
                first = await answer(receiver, "ttft=500ms", context=Text("The key is under the pot. " * 20))
                await answer(receiver, "", method=Method.RECEIVER_READS)
                again = await answer(receiver, "ttft=500ms", context=Text("The key is in the blue box. " * 20))
    assert (first.report.path, first.report.codec) == (Method.PREFIX, "fp16")
    assert again.report.path is Method.RECEIVER_READS
    assert again.report.bytes is None


@pytest.mark.parametrize("method", [Method.FUSE, Method.RECEIVER_READS, Method.TEXT])
async def test_a_target_is_for_prefix(pair, method):
    """Other methods would not keep to it."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(InvalidRequestError, match="is for method prefix"):
            await answer(receiver, "ttft=300ms", method=method)


async def test_what_no_choice_can_have_is_refused(pair):
    """A mix by hand, and a target that is written wrong."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(SpecError.__base__, match="leave mix= out"):
            await answer(receiver, "bytes=50000", "int8+mix=k@int4")
        with pytest.raises(SpecError.__base__, match="ttft=300ms"):
            await answer(receiver, "ttft=fast")
