"""What a request's policy says it wants, if it is for the receiver to choose."""

import pytest

from kvwire.errors import SpecError
from receiver_service.choosing.target import BytesWithin, FirstTokenWithin, target


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("ttft=300ms", FirstTokenWithin(0.3)),
        ("ttft=1.5s", FirstTokenWithin(1.5)),
        ("bytes=65536", BytesWithin(65536)),
        ("budget=65536", None),
        ("", None),
    ],
)
def test_a_target_is_read_and_other_policies_are_left_to_the_sharer(policy, wanted):
    """A budget is the sharer's to resolve."""
    assert target(policy) == wanted


@pytest.mark.parametrize("policy", ["ttft=300", "ttft=-1s", "ttft=", "bytes=0", "bytes=1e6", "bytes=64kB", "ttft=1ms "])
def test_a_target_that_is_written_wrong_is_refused_with_examples(policy):
    """Not taken for a policy of the sharer's."""
    with pytest.raises(SpecError, match="ttft=300ms"):
        target(policy)
