"""Tokens ranked by the receiver's question, over the real wire."""

from dataclasses import replace

import pytest

from kvwire.errors import InvalidRequestError
from kvwire.requests import Exchange, GenerateRequest, Method, Text, TokenIds

CONTEXT = TokenIds(tuple(range(4, 104)))
ASKED = GenerateRequest(
    prompt=Text("What does the Contributor grant?"),
    context=CONTEXT,
    exchange=Exchange(method=Method.PREFIX, codec="fp32+keep=0.3,by=question,scope=head"),
    max_new_tokens=12,
    ignore_eos=True,
)


def logprobs(generation):
    return [token.logprob for token in generation.tokens]


async def test_the_question_decides_what_is_sent_and_is_not_sent_itself(any_pair):
    """A third of the context's tokens and no others; another choice than the context's own queries make."""
    by_context = replace(ASKED, exchange=replace(ASKED.exchange, codec="fp32+keep=0.3,by=attention,scope=head"))
    async with any_pair.receiver_client() as receiver:
        answer, other = await receiver.generate_all(ASKED), await receiver.generate_all(by_context)
    assert answer.report.tokens.slots == other.report.tokens.slots == 100
    assert answer.report.bytes.payload_bytes == pytest.approx(other.report.bytes.payload_bytes, rel=0.01)
    assert answer.report.bytes.grpc_bytes > answer.report.bytes.payload_bytes
    assert logprobs(answer) != pytest.approx(logprobs(other), abs=1e-6)


async def test_two_questions_about_one_context_get_tokens_of_their_own(pair):
    """Greedy answers of the same prompt behind caches chosen for it and for another differ; asked again they do not."""
    async with pair.receiver_client() as receiver:
        first = await receiver.generate_all(ASKED)
        await receiver.generate_all(replace(ASKED, prompt=Text("Who is it?")))
        again = await receiver.generate_all(ASKED)
    assert logprobs(first) == logprobs(again)


async def test_keeping_every_token_tells_the_sharer_nothing(pair):
    """keep=1 is no pruning, so nobody asks for the question: the request is the same size as any other's."""
    sizes = []
    async with pair.receiver_client() as receiver:
        for codec in ("fp32+keep=1,by=question", "fp32"):
            moved = (await receiver.generate_all(replace(ASKED, exchange=Exchange(codec=codec)))).report.bytes
            sizes.append(moved.grpc_bytes - moved.payload_bytes)
    assert sizes[0] == pytest.approx(sizes[1], abs=8)


async def test_fuse_has_no_question_beside_what_both_read(pair):
    """Refused, with what would do."""
    exchange = replace(ASKED.exchange, method=Method.FUSE)
    async with pair.receiver_client() as receiver:
        with pytest.raises(InvalidRequestError, match="by=attention"):
            await receiver.generate_all(replace(ASKED, exchange=exchange))
