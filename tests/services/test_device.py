"""A sharer and a receiver that compute on one device of any kind answer as one model that reads everything."""

import pytest

from kvwire.requests import Exchange, GenerateRequest, Method, ScoreRequest, Text, TokenIds

CONTEXT = TokenIds(tuple(range(4, 204)))
PROMPT = Text("What does the Contributor grant?")


@pytest.fixture(scope="module")
def services(device, request, tmp_path_factory):
    """The common pair on the CPU; two models on one GPU."""
    if device.type == "cpu":
        yield request.getfixturevalue("pair")
        return
    tiny_pair, folder = request.getfixturevalue("tiny_pair"), request.getfixturevalue("tiny_llama")
    with tiny_pair(folder, tmp_path_factory.mktemp("logs"), "--device", str(device)) as services:
        yield services


async def test_both_tell_where_they_compute(services, device):
    """In their cards."""
    for client in (services.receiver_client(), services.sharer_client()):
        async with client:
            assert (await client.describe()).card.device == device.type


@pytest.mark.parametrize("codec", ["fp32", "fp16", "int8", "fp32+rope=pre"])
@pytest.mark.parametrize("method", [Method.PREFIX, Method.FUSE])
async def test_likelihoods_are_those_of_reading_everything(services, method, codec):
    """To 1e-3 nats per token at 32 bits, and at fewer to what those cost."""
    tolerance = {"fp32": 1e-3, "fp32+rope=pre": 1e-3, "fp16": 5e-3, "int8": 0.1}[codec]
    continuations = (Text(" a license to reproduce"), Text(" the Work"))

    async with services.receiver_client() as receiver:
        read, shared = [
            await receiver.score(ScoreRequest(PROMPT, continuations, CONTEXT, Exchange(each, codec=codec)))
            for each in (Method.RECEIVER_READS, method)
        ]
    for one, other in zip(read.scores, shared.scores, strict=True):
        assert other.token_logprobs == pytest.approx(one.token_logprobs, abs=tolerance)


async def test_answers_are_those_of_reading_everything(services):
    """Token by token, at 32 bits."""
    async with services.receiver_client() as receiver:
        read, shared = [
            await receiver.generate_all(
                GenerateRequest(PROMPT, CONTEXT, Exchange(each, codec="fp32"), 24, ignore_eos=True)
            )
            for each in (Method.RECEIVER_READS, Method.PREFIX)
        ]
    assert [token.id for token in shared.tokens] == [token.id for token in read.tokens]
    assert [t.logprob for t in shared.tokens] == pytest.approx([t.logprob for t in read.tokens], abs=1e-3)
