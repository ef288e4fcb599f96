"""The door: who is known by what, what they may call, and how much."""

import hmac
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from kvwire.callers import door as door_module
from kvwire.callers.caller import Allowance, Caller, Size
from kvwire.callers.door import Door, Shown, calling, on_behalf_of
from kvwire.callers.file import sha256
from kvwire.errors import AuthenticationError, ForbiddenError, OverloadedError
from tests.clock import Clock

NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
MIA, TOM = (Caller(name, sha256(f"token of {name}")) for name in ("mia", "tom"))


def bearer(name):
    return Shown(f"Bearer token of {name}")


def test_callers_are_told_apart_by_their_tokens():
    """Each by its own, whatever the scheme's capitals."""
    door = Door([MIA, TOM])
    assert [door.who(bearer(name)).name for name in ("mia", "tom")] == ["mia", "tom"]
    assert door.who(Shown("bearer token of tom")) == TOM


@pytest.mark.parametrize(
    "said", [None, "", "Bearer", "Bearer ", "Bearer token of ann", "Basic token of mia", "x" * 9999]
)
def test_who_shows_no_caller_s_token_is_nobody(said):
    """And is told nothing of what was shown."""
    with pytest.raises(AuthenticationError, match="bearer token") as caught:
        Door([MIA, TOM]).who(Shown(said))
    assert "ann" not in str(caught.value)


def test_every_caller_s_token_is_compared_in_constant_time(monkeypatch):
    """The first one too, and those behind the right one, so that the time tells nothing of which it was."""
    compared = []

    class Comparing:
        @staticmethod
        def compare_digest(expected, sent):
            compared.append(expected)
            return hmac.compare_digest(expected, sent)

    monkeypatch.setattr(door_module, "hmac", Comparing)
    door = Door([MIA, TOM])
    door.who(bearer("mia"))
    assert compared == [MIA.token_sha256, TOM.token_sha256]


def test_a_token_expires_by_the_wall_clock():
    """At that moment, not after it."""
    mia = Caller("mia", MIA.token_sha256, expires=NOON)
    times = [NOON - timedelta(seconds=1), NOON]
    door = Door([mia], now=lambda: times.pop(0))
    assert door.who(bearer("mia")) == mia
    with pytest.raises(AuthenticationError, match="caller mia expired at 2027-01-31T12:00:00"):
        door.who(bearer("mia"))


def test_a_certificate_s_name_identifies_a_caller_without_a_token():
    """Any name in it; another one is of nobody."""
    door = Door([Caller("mia", certificate="mia.example"), TOM])
    assert door.who(Shown(names=("10.0.0.5", "mia.example"))).name == "mia"
    with pytest.raises(AuthenticationError):
        door.who(Shown(names=("ann.example",)))


def test_a_token_bound_to_a_certificate_is_no_use_without_it():
    """Who stole the token alone is nobody."""
    door = Door([Caller("mia", MIA.token_sha256, "mia.example")])
    assert door.who(Shown("Bearer token of mia", ("mia.example",))).name == "mia"
    with pytest.raises(AuthenticationError, match="without the certificate"):
        door.who(Shown("Bearer token of mia", ("tom.example",)))


def test_where_the_file_names_nobody_the_certificate_does():
    """With no file, and with one bare token."""
    shown = Shown("Bearer t", ("mia.example", "10.0.0.5"))
    assert [door.who(shown).name for door in (Door(), Door([Caller(token_sha256=sha256("t"))]))] == ["mia.example"] * 2
    assert Door().who(Shown()) == Caller()


def test_a_call_that_is_not_allowed_is_forbidden():
    """With those that are."""
    mia = Caller("mia", MIA.token_sha256, calls=frozenset({"Describe", "Score"}))
    door = Door([mia])
    with door.admitted(mia, "Score", Size()):
        pass
    with pytest.raises(ForbiddenError, match="mia may not call Generate; allowed: Describe, Score"):
        door.admitted(mia, "Generate", Size())


LARGE = {
    "bytes": (Allowance(max_request_bytes=100), Size(nbytes=100), Size(nbytes=101), "may send 100 bytes.*has 101"),
    "answer": (Allowance(max_new_tokens=5), Size(new_tokens=5), Size(new_tokens=6), "5 tokens made, 6 are asked"),
    "together": (
        Allowance(requests_per_second=1, burst=4),
        Size(requests=4),
        Size(requests=5),
        "1 requests a second, 4 at once, this asks for 5",
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_request_that_is_too_large_for_its_caller_is_refused(name):
    """One that just fits is not; both numbers are told."""
    allowance, fits, too_large, words = LARGE[name]
    mia = Caller("mia", MIA.token_sha256, allowance=allowance)
    with pytest.raises(OverloadedError, match=words), Door([mia]).admitted(mia, "Generate", too_large):
        pytest.fail("admitted")
    with Door([mia]).admitted(mia, "Generate", fits):
        pass


def test_so_many_requests_at_once_are_a_caller_s_own_limit():
    """Another caller has places of its own, and one that ended leaves its place."""
    mia, tom = (Caller(each.name, each.token_sha256, allowance=Allowance(max_in_flight=1)) for each in (MIA, TOM))
    door = Door([mia, tom])
    with ExitStack() as stack:
        for each in (mia, tom):
            stack.enter_context(door.admitted(each, "Generate", Size()))
        with pytest.raises(OverloadedError, match="1 requests in flight, its limit is 1"):
            stack.enter_context(door.admitted(mia, "Generate", Size()))
    with door.admitted(mia, "Generate", Size()):
        pass


def admitted(door, caller, count):
    """How many of so many requests in a row are let in."""
    found = 0
    for _ in range(count):
        try:
            with door.admitted(caller, "Generate", Size()):
                found += 1
        except OverloadedError:
            break
    return found


def test_requests_a_second_refill_by_a_clock_that_never_jumps():
    """Half a second brings one back at two a second; the message says when."""
    clock, mia = Clock(), Caller("mia", MIA.token_sha256, allowance=Allowance(requests_per_second=2, burst=3))
    door = Door([mia], clock)
    assert admitted(door, mia, 5) == 3
    with pytest.raises(OverloadedError, match=r"try again in 0\.5 s"), door.admitted(mia, "Generate", Size()):
        pytest.fail("admitted")
    clock.now_s += 0.5
    assert admitted(door, mia, 5) == 1
    clock.now_s += 3600
    assert admitted(door, mia, 5) == 3


def test_requests_a_day_are_counted_beside_those_a_second():
    """What one of the two refuses takes nothing of the other."""
    clock = Clock()
    mia = Caller("mia", MIA.token_sha256, allowance=Allowance(requests_per_second=1, burst=1, requests_per_day=3))
    door = Door([mia], clock)
    found = 0
    for _ in range(10):
        found += admitted(door, mia, 2)
        clock.now_s += 1
    assert found == 3
    clock.now_s += 86_400 / 3
    assert admitted(door, mia, 2) == 1


def test_what_a_caller_says_counts_within_who_it_is():
    """Nobody reaches another's by saying their name; without names it is as said."""
    keys = set()
    for name, said in (("mia", ""), ("mia", "tom"), ("tom", ""), ("tom", "tom"), ("to", "mtom")):
        token = calling.set(name)
        keys.add(on_behalf_of(said))
        calling.reset(token)
    assert len(keys) == 5
    assert {len(key) for key in keys} == {64}
    assert on_behalf_of("tom") == "tom"


def test_where_callers_are_known_by_certificate_alone_nobody_is_told_to_send_a_token():
    """None would do."""
    with pytest.raises(AuthenticationError, match="by certificate"):
        Door([Caller("mia", certificate="mia.example")]).who(Shown(names=("ann.example",)))
