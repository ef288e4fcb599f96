"""What the receiver holds is not sent again: same answers, no bytes, nobody else's."""

import pytest

from bench.services.scrape import Scrape
from kvwire.requests import Exchange, GenerateRequest, RequestInfo, Text

CONTEXT = Text("The lamp is in the attic and the key is under the blue pot. " * 4)


@pytest.fixture(scope="module")
def holding(tiny_llama, tmp_path_factory, tiny_pair):
    """A pair whose receiver holds what it received."""
    with tiny_pair(tiny_llama, tmp_path_factory.mktemp("logs"), "--reuse-bytes", "100000000") as services:
        yield services


async def ask(services, prompt, codec="int8", caller="mia", context=CONTEXT):
    request = GenerateRequest(
        Text(prompt), context, Exchange(codec=codec), 6, ignore_eos=True, info=RequestInfo(caller=caller)
    )
    async with services.receiver_client() as receiver:
        return await receiver.generate_all(request)


def tokens(answer):
    return [token.id for token in answer.tokens]


async def test_a_second_question_on_a_context_sends_no_layer_and_answers_the_same(holding, pair):
    """As a receiver that holds nothing answers it."""
    first = await ask(holding, "Where is the key?")
    second = await ask(holding, "Where is the lamp?")
    assert first.report.bytes.payload_bytes > 0
    assert second.report.bytes.payload_bytes == 0
    [held] = second.report.bytes.spared
    assert (held.what, held.bytes) == ("held", first.report.bytes.payload_bytes)
    assert held.values == first.report.bytes.values
    assert second.report.stage_s("prefill", "sharer") is None
    assert tokens(second) == tokens(await ask(pair, "Where is the lamp?"))


@pytest.mark.parametrize(
    "other",
    [{"caller": "tom"}, {"codec": "fp16"}, {"context": Text(CONTEXT.text + "So it is. ")}],
    ids=["caller", "codec", "context"],
)
async def test_another_callers_codecs_or_contexts_cache_is_another(holding, other):
    """Callers never share: one could time what another has asked."""
    await ask(holding, "Where is the key?")
    answer = await ask(holding, "Where is the pot?", **other)
    assert answer.report.bytes.payload_bytes > 0


async def test_what_was_not_sent_is_counted(holding):
    """Hits, and bytes saved."""
    first = await ask(holding, "Where?", caller="ann")
    before = counted(holding)
    await ask(holding, "Why?", caller="ann")
    after = counted(holding)
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, first.report.bytes.payload_bytes]


def counted(services):
    scrape = Scrape.of(services.receiver.metrics)
    return [
        scrape.total(name, method="prefix", codec="int8") for name in ("kvwire_held_total", "kvwire_held_bytes_total")
    ]


async def test_without_a_budget_every_cache_is_sent(pair):
    """The default."""
    await ask(pair, "Where is the key?")
    again = await ask(pair, "Where is the key?")
    assert again.report.bytes.payload_bytes > 0
    assert again.report.bytes.spared == ()
