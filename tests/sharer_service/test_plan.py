"""What is asked for again is not laid out again, but for whom it was."""

import pytest

from codec.allocate.profiles import Profiles
from codec.calibrations import Calibrations
from kvwire.requests import Method, RequestInfo, Text
from kvwire.stream import ShareRequest
from sharer_service.plan import Held, Plans


@pytest.fixture
def held(tmp_path):
    return Held(Calibrations(tmp_path), Profiles(tmp_path), {}, {})


@pytest.fixture
def read(engine, monkeypatch):
    """Texts as they are tokenized."""
    texts, plain = [], engine.prompts.plain
    monkeypatch.setattr(engine.prompts, "plain", lambda text: (texts.append(text), plain(text))[1])
    return texts


def asked(engine, caller="ann", request_id="1", codec="fp32", **more):
    binding = engine.card.binding
    info = RequestInfo(request_id, caller, deadline_ms=100)
    return ShareRequest(info, Method.PREFIX, Text("some words"), codec, binding, binding, **more)


def test_the_same_asked_again_is_laid_out_once_and_names_its_own_request(engine, held, read):
    """Whatever the receiver holds by then."""
    plans = Plans(engine, held, keep=4)
    first = plans.of(asked(engine))
    again = plans.of(asked(engine, request_id="2", held_digests=(first.header.content_digest,)))
    assert read == ["some words"]
    assert (first.header.request_id, again.header.request_id) == ("1", "2")
    assert again.reading == first.reading
    assert again.header.content_digest == first.header.content_digest


def test_callers_codecs_and_heads_have_plans_of_their_own(engine, held, read):
    """Or one caller could time what another has asked."""
    plans = Plans(engine, held, keep=4)
    found = [plans.of(each) for each in (asked(engine), asked(engine, "bob"), asked(engine, codec="int8"))]
    found.append(plans.of(asked(engine, head=(1, 2))))
    assert read == ["some words"] * 4
    assert len({each.header.content_digest for each in found}) == 4


def test_a_sharer_that_keeps_nothing_reads_again(engine, held, read):
    """With the same plan."""
    plans = Plans(engine, held, keep=0)
    assert plans.of(asked(engine)).header == plans.of(asked(engine)).header
    assert read == ["some words"] * 2
