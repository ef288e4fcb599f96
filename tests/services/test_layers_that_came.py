"""Layers that came before a stream broke off are used, and those that did not are asked for again or left out."""

from kvwire.requests import FaultPolicy, Method
from tests.services.hurting import CutAfter, DamageFrom, Once, asked, hurting, in_time


async def test_a_cut_stream_is_asked_for_again_but_for_what_came_whole(exposed, pair):
    """One layer came; the answer is that of an unhurt stream, and the bytes of both streams are counted."""
    async with hurting(exposed, pair.sharer.address, Once(CutAfter(200_000))) as (receiver, whole):
        answer = await receiver.generate_all(asked())
    report = answer.report
    assert [token.logprob for token in answer.tokens] == [token.logprob for token in whole.tokens]
    assert (report.path, report.tries, report.layers_came, report.layers_needed) == (Method.PREFIX, 2, 4, 4)
    assert report.sharer_addresses == (f"127.0.0.1:{exposed.near}",)
    assert report.bytes.payload_bytes == whole.report.bytes.payload_bytes
    assert whole.report.bytes.grpc_bytes < report.bytes.grpc_bytes < 1.1 * whole.report.bytes.grpc_bytes


async def test_a_layer_that_was_damaged_is_sent_again(exposed, pair):
    """Only once, and nothing that failed its checksum is in the answer."""
    async with hurting(exposed, pair.sharer.address, Once(DamageFrom(200_000))) as (receiver, whole):
        answer = await receiver.generate_all(asked())
    assert [token.logprob for token in answer.tokens] == [token.logprob for token in whole.tokens]
    assert answer.report.tries == 2


async def test_layers_that_did_not_come_are_left_unfused(exposed, pair):
    """Those that came are used, and the report says how many."""
    async with hurting(exposed, pair.sharer.address, DamageFrom(330_000)) as (receiver, _), in_time():
        answer = await receiver.generate_all(asked(FaultPolicy.PARTIAL, Method.FUSE))
    report = answer.report
    assert (report.path, report.partial, report.layers_needed) == (Method.FUSE, True, 4)
    assert 0 < report.layers_came < 3
    assert f"partial: {report.layers_came} of 4 layers came before DATA_LOSS" in report.reason


async def test_a_prefix_with_a_layer_missing_is_answered_by_the_receiver_alone(exposed, pair):
    """One of four is too many: a context that some layers know and others do not is worse than none."""
    async with hurting(exposed, pair.sharer.address, CutAfter(450_000)) as (receiver, _), in_time():
        answer = await receiver.generate_all(asked(FaultPolicy.PARTIAL))
        alone = await receiver.generate_all(asked(method=Method.RECEIVER_ONLY))
    assert (answer.report.path, answer.report.layers_came) == (Method.RECEIVER_ONLY, 0)
    assert [token.id for token in answer.tokens] == [token.id for token in alone.tokens]


async def test_a_fusion_of_which_nothing_comes_is_what_the_receiver_reads_itself(exposed):
    """It has read everything, and says so."""
    async with exposed.without_sharer() as receiver, in_time():
        answer = await receiver.generate_all(asked(FaultPolicy.PARTIAL, Method.FUSE))
        itself = await receiver.generate_all(asked(method=Method.RECEIVER_READS))
    assert (answer.report.path, answer.report.layers_came) == (Method.RECEIVER_READS, 0)
    assert "UNAVAILABLE" in answer.report.reason
    assert [token.id for token in answer.tokens] == [token.id for token in itself.tokens]
