"""Parts of streams that are lost, doubled, moved, or another stream's, as the receiver's own code takes them."""

from itertools import combinations

import pytest

from kvwire.errors import DataLossError
from kvwire.requests import RequestInfo
from tests.integrity.share_streams import INFO, Pair

SPEC = "int8+keep=0.5,by=random,scope=head"
PAIR = Pair(SPEC, chunk_bytes=150)
#: The same request, answered with other numbers: every part has the length that is expected, and is whole.
TWIN = Pair(SPEC, seed=1, chunk_bytes=150)
#: The same numbers, asked for by somebody else.
OTHER = Pair(SPEC, info=RequestInfo("another request", INFO.caller), chunk_bytes=150)


def refused(messages):
    with pytest.raises(DataLossError):
        PAIR.receive(messages)


def test_the_stream_itself_is_taken():
    """Header, three chunks of either layer, trailer."""
    assert len(messages := PAIR.messages()) == 8
    assert sorted(PAIR.receive(messages).layers) == [0, 1]


def test_no_part_can_be_lost_or_come_twice():
    """Wherever it comes again."""
    messages = PAIR.messages()
    for at, part in enumerate(messages):
        refused(messages[:at] + messages[at + 1 :])
        for again in range(len(messages) + 1):
            refused([*messages[:again], part, *messages[again:]])


def test_no_two_parts_can_change_places():
    """Header and trailer neither."""
    for one, other in combinations(range(8), 2):
        messages = PAIR.messages()
        messages[one], messages[other] = messages[other], messages[one]
        refused(messages)


@pytest.mark.parametrize("stranger", [TWIN, OTHER], ids=["of other numbers", "of another request"])
def test_no_part_of_another_stream_is_taken(stranger):
    """Nor all of them from any part on, nor up to any."""
    messages, others = PAIR.messages(), stranger.messages()
    assert [len(part) for part in messages[1:]] == [len(part) for part in others[1:]]
    for at in range(len(messages)):
        alone, from_here = [*messages[:at], others[at], *messages[at + 1 :]], messages[:at] + others[at:]
        for mixed in (alone, from_here, others[:at] + messages[at:]):
            if mixed not in (messages, others):
                refused(mixed)


def test_the_whole_stream_of_another_request_is_refused():
    """Nothing in it is damaged."""
    assert OTHER.receive(OTHER.messages())
    refused(OTHER.messages())
