"""A soak with faults finds what it is for: lost answers, wrong labels, uncounted bytes, what is kept."""

from dataclasses import replace

import pytest

from bench.services.faults.promises import Soaked
from bench.services.faults.resources import Resources
from bench.services.faults.troubles import Trouble
from bench.services.scrape import Scrape
from bench.services.soak import Memory
from kvwire.report import ByteCounts, Report
from kvwire.requests import Method
from loadtest.driver import Outcome
from loadtest.open_loop import Sent
from loadtest.scoring import ChoiceScore, ItemResult

PREFIX, ALONE = Method.PREFIX, Method.RECEIVER_ONLY
SCORES = {PREFIX: (ChoiceScore(-5.0, 2, 8),), ALONE: (ChoiceScore(-9.0, 2, 8),)}
HELD = Resources(threads=9, files=7, sockets=4)


def answer(due_s, label=PREFIX, made=PREFIX, reason=None):
    """An answer of half a second: what it says made it, and what did."""
    moved = ByteCounts(payload_bytes=100, grpc_bytes=110) if label is PREFIX else None
    said = ("asked for" if label is PREFIX else "fell back to it") if reason is None else reason
    report = Report("", PREFIX, label, said, bytes=moved)
    return Sent(due_s, 0.0, Outcome(ItemResult("item", 0, 0, SCORES[made]), report, 0.1, 0.5))


def failed(due_s):
    return Sent(due_s, 0.0, Outcome(ItemResult("item", 0, error="DEADLINE_EXCEEDED")))


@pytest.fixture
def soaked():
    """A hundred seconds with one fault from 40 s to 42 s, in which two fell back."""
    sent = [answer(at, *((ALONE, ALONE) if at in (40, 41) else ())) for at in range(100)]
    counted = {
        ("kvwire_wire_bytes_total", frozenset({("counter", "payload")})): 9_800.0,
        ("kvwire_wire_bytes_total", frozenset({("counter", "grpc")})): 10_780.0,
        ("kvwire_answers_total", frozenset({("method", "prefix"), ("path", "prefix")})): 98.0,
        ("kvwire_answers_total", frozenset({("method", "prefix"), ("path", "receiver_only")})): 2.0,
    }
    flat = Memory([float(at) for at in range(100)], [1e6 + at % 2 for at in range(100)])
    references = {path: {"item": scores} for path, scores in SCORES.items()}
    memory = {"sharer 1": flat, "receiver": flat}
    return Soaked(sent, [Trouble("link cut", 40.0, 42.0)], memory, Scrape(counted), references, HELD, HELD)


def broken(soaked):
    return {each.name for each in soaked.checks() if not each.ok}


def test_a_soak_that_kept_its_promises_passes(soaked):
    """Falling back in a fault's window breaks none."""
    assert broken(soaked) == set()


def test_a_request_that_got_no_answer_is_noticed(soaked):
    """One in a hundred is more than one in a thousand."""
    assert "answered" in broken(replace(soaked, sent=[*soaked.sent[:-1], failed(99)]))


def test_falling_back_with_no_fault_about_is_noticed(soaked):
    """More than one in twenty."""
    without_fault = [answer(at, ALONE, ALONE) for at in range(90, 100)]
    assert "fused outside fault windows" in broken(replace(soaked, sent=[*soaked.sent[:90], *without_fault]))


@pytest.mark.parametrize(
    "wrong", [answer(50, PREFIX, ALONE), answer(50, ALONE, PREFIX), answer(50, ALONE, ALONE, reason="asked for")]
)
def test_a_label_that_is_not_the_path_that_answered_is_noticed(soaked, wrong):
    """By what the answer says; and one that fell back says why."""
    assert "paths labelled right" in broken(replace(soaked, sent=[*soaked.sent, wrong]))


def test_bytes_the_receiver_counted_otherwise_are_noticed(soaked):
    """By a single one."""
    sent = [*soaked.sent[:-1], answer(99)]
    more = replace(sent[-1].outcome.report, bytes=ByteCounts(payload_bytes=101, grpc_bytes=110))
    sent[-1] = replace(sent[-1], outcome=replace(sent[-1].outcome, report=more))
    assert broken(replace(soaked, sent=sent)) == {"payload bytes"}


def test_memory_that_grows_and_a_socket_that_is_kept_are_noticed(soaked):
    """Of the receiver; the sharer's longest life is looked at."""
    grown = Memory([float(at) for at in range(100)], [1e6 + 50.0 * at for at in range(100)])
    assert broken(replace(soaked, memory={**soaked.memory, "receiver": grown})) == {"memory of the receiver"}
    kept = replace(HELD, sockets=5)
    assert broken(replace(soaked, after=kept)) == {"threads, files, sockets of the receiver"}
