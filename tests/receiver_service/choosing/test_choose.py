"""Of all ways to answer the best that will do is taken, and the reason says why."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from codec.calibrations import Calibrations
from codec.codec import Codec
from codec.layer import LayerKV
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import InvalidRequestError, SpecError
from kvwire.report import Report, StageTiming, TokenCounts
from kvwire.requests import AlignmentRule, Exchange, Method, TokenIds
from receiver_service.choosing.choose import Chooser, Offer
from receiver_service.choosing.own import OwnPasses
from receiver_service.choosing.pace import Pace, Stream
from receiver_service.choosing.target import BytesWithin, FirstTokenWithin
from tests.receiver_service.streams import CARD

TOKENS, PROMPT_TOKENS = 1000, 10
OFFER = Offer(CARD, ("fp16", "int8", "nf4", "rd"), (0, 1, 2), AlignmentRule.NONE)


def own(seconds, prompt_s=0.0):
    """A receiver that takes so many seconds for context and prompt, and for a prompt alone."""
    passes = OwnPasses()
    timed = (StageTiming("prefill", "receiver", seconds), StageTiming("prompt", "receiver", prompt_s))
    tokens = TokenCounts(context=TOKENS, prompt=PROMPT_TOKENS)
    passes.heard(Report("1", Method.PREFIX, Method.PREFIX, tokens=tokens, stages=timed))
    return passes


def behind_a_link(bytes_s):
    """What is known of a sharer that has the context's layers, after a stream in another codec."""
    pace = Pace()
    pace.learn("", TokenIds((9,)), "fp32", Stream(TOKENS, 3, "fp32", bytes_s, 0.0, 1.0, 0.0, ()))
    return pace


@pytest.fixture
def choose(question, tmp_path):
    async def chosen(wanted, pace=None, offer=OFFER, passes=None, tables=None, context=..., in_flight=1, **exchange):
        async def run(work, _task):
            return work()

        prompts = SimpleNamespace(
            context=lambda _: range(TOKENS), read=lambda *_: SimpleNamespace(prompt=range(PROMPT_TOKENS))
        )
        calibrations = Calibrations(tmp_path) if tables is None else SimpleNamespace(held=lambda *_: tables)
        worker = SimpleNamespace(run=run, in_flight=in_flight)
        chooser = Chooser(SimpleNamespace(prompts=prompts), worker, calibrations, passes or OwnPasses())
        asked = question()
        asked = replace(asked, exchange=Exchange(**exchange), context=asked.context if context is ... else context)
        return await chooser.choose(wanted, asked, offer, pace or Pace())

    return chosen


def frames_bytes(spec):
    """All three layers' frames, encoded."""
    x = torch.randn(1, TOKENS, 4, generator=torch.Generator().manual_seed(0))
    codec = Codec(CodecSpec.parse(spec))
    return sum(len(codec.encode_layer(LayerKV(layer, x, x, RopePhase.POST, TOKENS))) for layer in range(3))


async def test_of_codecs_that_are_small_enough_the_best_is_taken(choose):
    """To the byte."""
    fp16, int8 = frames_bytes("fp16"), frames_bytes("int8")
    found = await choose(BytesWithin(fp16), policy="bytes=1")
    assert found.exchange == Exchange(codec="fp16")
    assert found.reason == f"bytes={fp16}: fp16 takes about {fp16} bytes"
    found = await choose(BytesWithin(fp16 - 1), codec="nf4", policy="bytes=1")
    assert found.exchange == Exchange(codec="int8")
    assert found.reason == f"bytes={fp16 - 1}: int8 takes about {int8} bytes; fp16 would take {fp16}"


async def test_a_size_that_no_codec_has_is_refused_with_the_smallest(choose):
    """And with what helps."""
    with pytest.raises(
        SpecError, match=r"^bytes=9 is too small: nf4, the smallest there is, takes about \d+ bytes; allow"
    ):
        await choose(BytesWithin(9))


async def test_options_stay_as_they_were_asked_for(choose):
    """Half the tokens take half the bytes."""
    found = await choose(BytesWithin(10**6), codec="int8+keep=0.5,by=random")
    assert found.exchange.codec == "fp16+keep=0.5,by=random"
    assert (
        found.reason == f"bytes=1000000: fp16+keep=0.5,by=random takes about {frames_bytes(found.exchange.codec)} bytes"
    )


async def test_a_codec_that_cannot_have_the_options_is_no_choice(choose):
    """If none can, that is told."""
    with pytest.raises(
        SpecError, match=r"^codec spec 'int8\+entropy=ans': no codec that a policy chooses from has its"
    ):
        await choose(BytesWithin(10**6), codec="int8+entropy=ans")


async def test_a_mix_is_no_choice_of_a_policys(choose):
    """It chooses the codec itself."""
    with pytest.raises(
        SpecError, match=r"^codec spec 'int8\+mix=k@fp16': a policy chooses the codec itself; leave mix= out$"
    ):
        await choose(BytesWithin(10**6), codec="int8+mix=k@fp16")


async def test_without_a_context_there_is_nothing_to_choose(choose):
    """Nothing is sent."""
    with pytest.raises(InvalidRequestError, match=r"^method prefix needs a context for the sharer to read; send one$"):
        await choose(BytesWithin(10**6), context=None)


@pytest.mark.parametrize(("bits", "taken"), [(4, "rd:bits=4"), (3, "rd:bits=3"), (2, "rd:bits=2")])
async def test_with_tables_a_rate_is_reckoned_a_twentieth_longer(choose, bits, taken):
    """Of keys and values of 500 tokens that are kept; just as many bytes are enough."""
    within = round(2 * 3 * 1 * 500 * 4 * bits / 8 * 1.05)
    found = await choose(BytesWithin(within), tables=object(), codec="fp16+keep=0.5")
    assert found.exchange.codec == f"{taken}+keep=0.5"


async def test_tables_that_the_sharer_has_not_are_of_no_use(choose):
    """Both sides need them; nf4 needs none."""
    offer = replace(OFFER, codecs=("fp16", "int8", "nf4"))
    found = await choose(BytesWithin(frames_bytes("int8") - 1), tables=object(), offer=offer)
    assert found.exchange.codec == "nf4"


async def test_while_nothing_is_known_the_best_codec_is_tried(choose):
    """So that it becomes known; reading again loses nothing to any but the best."""
    found = await choose(FirstTokenWithin(0.3), policy="ttft=300ms")
    assert found.exchange == Exchange(codec="fp16")
    forecast = "fp16 0 ms, reading again 0 ms, int8 0 ms, nf4 0 ms"
    assert found.reason == f"ttft=300ms: fp16 is the best in time; forecast: {forecast}"


async def test_the_best_way_in_time_is_taken_and_just_in_time_is_in_time(choose):
    """Over a link on which fp16 takes a second and int8 less."""
    pace = behind_a_link(frames_bytes("fp16"))
    assert (await choose(FirstTokenWithin(1.0), pace, passes=own(9.0))).exchange.codec == "fp16"
    found = await choose(FirstTokenWithin(0.9), pace, passes=own(9.0))
    assert found.exchange.codec == "int8"
    assert found.reason.startswith("ttft=900ms: int8 is the best in time; forecast: fp16 ")


async def test_reading_again_is_a_way_where_the_receiver_reads_faster_than_the_link_carries(choose):
    """It loses nothing."""
    found = await choose(FirstTokenWithin(0.5), behind_a_link(1000), passes=own(0.4), policy="ttft=500ms")
    assert found.exchange == Exchange(method=Method.RECEIVER_READS, codec="fp16")
    assert found.reason.startswith("ttft=500ms: reading again is the best in time; forecast: fp16 ")
    assert ", reading again 400 ms, int8 " in found.reason


async def test_if_none_is_in_time_the_fastest_is_taken(choose):
    """Late is better than not at all."""
    found = await choose(FirstTokenWithin(0.1), behind_a_link(frames_bytes("fp16")), passes=own(9.0))
    assert found.exchange.codec == "nf4"
    assert found.reason.startswith("ttft=100ms: nf4 is the fastest, though none is in time; forecast: fp16 ")


@pytest.mark.parametrize(
    ("context", "alignment", "reads"),
    [
        (..., AlignmentRule.NONE, True),
        (..., AlignmentRule.CHARACTERS, True),
        (TokenIds((1, 2)), AlignmentRule.NONE, True),
        (TokenIds((1, 2)), AlignmentRule.CHARACTERS, False),
    ],
)
async def test_token_ids_of_another_model_are_not_read_again(choose, context, alignment, reads):
    """The receiver knows only its own."""
    offer = replace(OFFER, alignment=alignment)
    found = await choose(FirstTokenWithin(1.0), offer=offer, context=context)
    assert ("reading again" in found.reason) is reads


async def test_a_prompt_is_read_while_the_cache_comes_if_nobody_else_is_asking(choose):
    """A second each: a layer of three is left of the shorter; otherwise one comes after the other."""
    pace, passes = behind_a_link(frames_bytes("fp16")), own(9.0, prompt_s=1.0)
    for in_flight, took in ((1, "1333"), (2, "2000")):
        found = await choose(FirstTokenWithin(9.0), pace, passes=passes, in_flight=in_flight)
        assert f"forecast: fp16 {took} ms, " in found.reason
