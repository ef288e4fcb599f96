"""What a receiver learns of its own passes."""

from kvwire.report import Report, StageTiming, TokenCounts
from kvwire.requests import Method
from receiver_service.choosing.own import OwnPasses


def report(**stages):
    timed = tuple(StageTiming(name, "receiver", seconds) for name, seconds in stages.items())
    return Report("1", Method.PREFIX, Method.PREFIX, tokens=TokenCounts(head=1, context=80, prompt=19), stages=timed)


def test_a_question_read_here_tells_what_all_its_tokens_take():
    """Head, context and prompt in one pass."""
    own = OwnPasses()
    own.heard(report(prefill=2.0))
    assert own.at(100) == 2.0


def test_a_cache_that_came_tells_what_the_prompt_takes_and_nothing_of_reading_its_context():
    """Its context was read by nobody here: that does not mean in no time."""
    own = OwnPasses()
    own.heard(report(prompt=0.3))
    assert own.at(19) == 0.3
    assert own.at(100) > 0.3


def test_what_the_sharer_took_is_not_taken_for_ones_own():
    """Both sides call their stage prefill."""
    own = OwnPasses()
    read = TokenCounts(context=80, prompt=20)
    own.heard(Report("1", Method.PREFIX, Method.PREFIX, tokens=read, stages=(StageTiming("prefill", "sharer", 9.0),)))
    assert own.at(100) == 0
