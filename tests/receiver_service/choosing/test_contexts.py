"""What is to be expected of a context that was asked for before."""

import pytest

from kvwire.known import Known
from kvwire.requests import Text
from receiver_service.choosing.contexts import Contexts

A, B = Text("a"), Text("b")


def after(*found):
    """Context A was asked for as int8 by Mia so many times, and this turned out to be there."""
    contexts = Contexts()
    for each in found:
        contexts.learn("mia", A, "int8", each)
    return contexts


def test_of_a_new_context_nothing_is_there():
    """Another's was read; this one was not."""
    contexts = after(Known.NOTHING, Known.LAYERS)
    assert contexts.known("mia", B, "int8") is Known.NOTHING


def test_whose_context_it_is_decides():
    """Callers never share what is kept."""
    contexts = after(Known.NOTHING, Known.LAYERS)
    assert contexts.known("tom", A, "int8") is Known.NOTHING


@pytest.mark.parametrize(
    ("found", "then"),
    [
        ([Known.NOTHING], Known.PLACED),
        ([Known.NOTHING, Known.LAYERS], Known.FRAMES),
        ([Known.NOTHING, Known.LAYERS, Known.FRAMES], Known.FRAMES),
        ([Known.NOTHING, Known.PLACED], Known.PLACED),
        ([Known.NOTHING, Known.NOTHING], Known.NOTHING),
    ],
    ids=["receiver unknown", "sharer keeps", "sharer sends frames", "receiver holds", "nobody keeps"],
)
def test_what_was_found_when_it_came_again_tells_who_keeps_what(found, then):
    """At first both are taken to keep it: the next answer tells."""
    assert after(*found).known("mia", A, "int8") is then


def test_as_another_codec_its_layers_are_there_but_no_frames():
    """The sharer read it once for all codecs."""
    contexts = after(Known.NOTHING, Known.LAYERS, Known.FRAMES)
    assert contexts.known("mia", A, "fp16") is Known.LAYERS


def of_the_sharer_alone(*found):
    """The same, where the receiver was seen to hold nothing, of another context."""
    contexts = after(*found)
    for each in (Known.NOTHING, Known.LAYERS):
        contexts.learn("mia", B, "int8", each)
    return contexts.known("mia", A, "int8")


def test_frames_are_kept_from_the_second_time_on():
    """The first time only layers are."""
    assert of_the_sharer_alone(Known.NOTHING) is Known.LAYERS
    assert of_the_sharer_alone(Known.NOTHING, Known.LAYERS) is Known.FRAMES


def test_frames_that_were_there_the_first_time_are_known_to_be_there():
    """Another receiver's call had made them."""
    assert of_the_sharer_alone(Known.FRAMES) is Known.FRAMES


def test_that_nothing_was_there_the_first_time_does_not_say_that_nobody_keeps_anything():
    """Nobody had read it."""
    assert after(Known.NOTHING).known("mia", A, "fp16") is Known.LAYERS
