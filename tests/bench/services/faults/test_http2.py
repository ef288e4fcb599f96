"""Frames and messages come out whole, however their bytes come in."""

from hypothesis import given
from hypothesis import strategies as st

from bench.services.faults.http2 import DATA, Frame, Frames, Messages

FRAMES = [Frame(DATA, 1, 3, b"abc"), Frame(4, 0, 0, b""), Frame(DATA, 0, 2**31 - 1, bytes(40_000))]
MESSAGES = [b"\0\0\0\0\x02hi", b"\0\0\0\0\0", b"\0" + (70_000).to_bytes(4) + bytes(70_000)]


@given(size=st.integers(1, 50_000))
def test_frames_are_cut_as_they_were_written(size):
    """In pieces of any size."""
    written, frames = b"".join(frame.wire() for frame in FRAMES), Frames()
    found = [frame for at in range(0, len(written), size) for frame in frames.feed(written[at : at + size])]
    assert found == FRAMES


@given(size=st.integers(1, 50_000))
def test_messages_are_cut_by_their_lengths_and_counted(size):
    """Each with the five bytes before it."""
    written, messages = b"".join(MESSAGES), Messages()
    found = [each for at in range(0, len(written), size) for each in messages.feed(written[at : at + size])]
    assert found == list(enumerate(MESSAGES))
