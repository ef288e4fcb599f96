"""Every fault of the wire, at every stage of a request, under every policy: what was declared comes of it, in time."""

import asyncio

import pytest

from bench.services.faults.cases import Effect, cases
from bench.services.faults.laboratory import Laboratory, asked
from kvwire.requests import FaultPolicy, Method

#: Time for an answer and for another way to it, with the machine busy; where nothing comes it passes whole.
DEADLINE_S = {effect: 1.0 if effect is Effect.STALLED else 8.0 for effect in Effect}
#: Beyond a deadline.
GRACE_S = 1.0
#: A sharer that failed five calls in a row is left alone for up to 3 s, and gRPC connects anew within 2.4.
RECONNECTED_S = 10.0

#: Enough for an answer to be still written when its link breaks.
LONG_ANSWER = 64

#: A case of each stage and fault at least, every policy among them; `make test` tries these, `make test-all` all.
SAMPLE = {
    "connect, refused, receiver_only",
    "connect, late, text",
    "request, cut, fail",
    "header, drop, receiver_only",
    "first layer, reorder, text",
    "middle layer, throttle, fail",
    "middle layer, reset, receiver_only",
    "last layer, flip, text",
    "trailer, duplicate, fail",
    "trailer, stall, receiver_only",
    "decode, reset, fail",
    "answer stream, cut, fail",
}

CASES = {str(case): case for case in cases()}


@pytest.fixture(scope="module")
def unhurt(lab: Laboratory) -> dict[str, tuple[int, ...]]:
    """The tokens of each path's answer with nothing hurt, long ones, of which others are the beginning."""

    async def answers():
        ways = (Method.PREFIX, Method.RECEIVER_ONLY, Method.TEXT)
        return {way.value: await lab.whole(asked(way, FaultPolicy.FAIL, 60, LONG_ANSWER)) for way in ways}

    found = asyncio.run(answers())
    assert [ended.how for ended in found.values()] == list(found)
    return {path: ended.tokens for path, ended in found.items()}


def test_there_are_at_least_two_hundred_cases():
    """At every stage of a request, and the sample is of them."""
    assert len(CASES) >= 200
    assert set(CASES) >= SAMPLE
    assert {case.stage for case in CASES.values()} == {CASES[name].stage for name in SAMPLE} | {"first token", "report"}


def test_the_three_paths_answer_differently(unhurt):
    """Or a wrong label would not be noticed."""
    assert len({tokens[:4] for tokens in unhurt.values()}) == 3


@pytest.mark.parametrize(
    "name", [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
async def test_a_fault_ends_as_its_policy_declares_and_in_time(lab, unhurt, name):
    """Labelled by the path that made it, with that path's own tokens; nothing is kept, and the next is answered."""
    case = CASES[name]
    deadline_s = DEADLINE_S[case.effect]
    ended = await lab.hurt(case, asked(Method.PREFIX, case.policy, deadline_s, LONG_ANSWER if case.during else 4))
    assert ended.how in case.ends, ended
    assert ended.seconds <= deadline_s + GRACE_S
    if ended.how in unhurt:
        assert ended.tokens == unhurt[ended.how][: len(ended.tokens)]
        assert len(ended.tokens) == (LONG_ANSWER if case.during else 4)
    assert await lab.idle(deadline_s + GRACE_S - ended.seconds) == ""
    after = await lab.next_answer(RECONNECTED_S)
    assert (after.how, after.tokens) == (Method.PREFIX, unhurt[Method.PREFIX][:4]), after
