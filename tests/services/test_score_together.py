"""Several scorings in one call: each as if it had been asked by itself."""

import pytest

from kvwire.errors import InvalidRequestError, KvwireError, NotFoundError
from kvwire.requests import Exchange, Method, RequestInfo, ScoreRequest, Text

METHODS = (Method.RECEIVER_ONLY, Method.RECEIVER_READS, Method.TEXT, Method.PREFIX, Method.FUSE)


def asked(method, name="", **more):
    return ScoreRequest(
        prompt=Text("What does the Contributor grant?"),
        context=Text("Each Contributor hereby grants to You a perpetual copyright license. "),
        continuations=(Text(" a license"), Text(" nothing at all")),
        exchange=Exchange(method=method, codec="fp32", relay_max_tokens=4),
        info=RequestInfo(name, "tests"),
        **more,
    )


async def test_each_scores_as_if_asked_by_itself(any_pair):
    """Of every method and family, in order, with bytes of its own."""
    requests = [asked(method) for method in METHODS]
    async with any_pair.receiver_client() as receiver:
        found = [outcome async for outcome in receiver.score_together(requests)]
        alone = [await receiver.score(request) for request in requests]
    for method, one, other in zip(METHODS, found, alone, strict=True):
        assert one.report.path == method
        assert one.first_token.id == other.first_token.id
        assert one.report.tokens == other.report.tokens
        for score, expected in zip(one.scores, other.scores, strict=True):
            assert score.token_logprobs == pytest.approx(expected.token_logprobs, abs=1e-4)
    assert found[3].report.bytes.payload_bytes == alone[3].report.bytes.payload_bytes > 0
    assert found[3].report.bytes.socket_isolated


async def test_one_that_is_wrong_does_not_keep_the_others_from_being_answered(pair):
    """Its error stands where its answer would."""
    wrong = ScoreRequest(prompt=Text("x"), continuations=(Text(""),))
    missing = asked(Method.PREFIX, compare_with="never-kept")
    async with pair.receiver_client() as receiver:
        found = [
            outcome
            async for outcome in receiver.score_together(
                [asked(Method.RECEIVER_ONLY), wrong, missing, asked(Method.FUSE)]
            )
        ]
    assert [type(outcome) for outcome in found[1:3]] == [InvalidRequestError, NotFoundError]
    assert "continuation is empty" in str(found[1])
    assert not any(isinstance(found[index], KvwireError) for index in (0, 3))


async def test_one_can_be_compared_with_another_before_it(pair):
    """Reading and a lossless prefix are the same; reading nothing is not."""
    requests = [
        asked(Method.RECEIVER_READS, "kept", keep_distributions=True),
        asked(Method.PREFIX, compare_with="kept"),
        asked(Method.RECEIVER_ONLY, compare_with="kept"),
    ]
    async with pair.receiver_client() as receiver:
        _, same, other = [outcome async for outcome in receiver.score_together(requests)]
    assert max(same.scores[0].kl_nats) < 1e-5 < max(other.scores[0].kl_nats)


@pytest.mark.parametrize("count", [0, 65])
async def test_none_or_too_many_are_refused_with_the_number(pair, count):
    """Before anything is read."""
    async with pair.receiver_client() as receiver:
        with pytest.raises(InvalidRequestError, match=f"{count} requests; 1 to 64"):
            async for _ in receiver.score_together([asked(Method.RECEIVER_ONLY)] * count):
                pass


async def test_a_sharer_scores_together_too(pair):
    """The service is the same on both sides."""
    async with pair.sharer_client() as sharer:
        (found,) = [outcome async for outcome in sharer.score_together([asked(Method.SHARER_ONLY)])]
        alone = await sharer.score(asked(Method.SHARER_ONLY))
    assert found.scores[1].token_logprobs == pytest.approx(alone.scores[1].token_logprobs, abs=1e-4)
