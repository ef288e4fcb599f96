"""The latest requests of a service."""

from kvwire.recent import Failure, Recent
from kvwire.report import Report
from kvwire.requests import Method, RequestInfo


def report(request_id):
    return Report(request_id, Method.PREFIX, Method.PREFIX)


def test_numbers_go_on_while_old_requests_are_forgotten():
    """Whoever asks for what came after a number misses nothing that is kept."""
    clock = iter((10.0, 20.0, 30.0))
    recent = Recent(kept=2, clock=lambda: next(clock))
    recent.answered(report("a"))
    recent.answered(report("b"))
    recent.failed(RequestInfo("c"), Method.TEXT, "NOT_FOUND", "no sharer")
    assert [(each.number, each.ended_at_s, each.outcome) for each in recent.after(0)] == [
        (2, 20.0, report("b")),
        (3, 30.0, Failure("c", Method.TEXT, "NOT_FOUND", "no sharer")),
    ]
    assert [each.number for each in recent.after(2)] == [3]
    assert recent.after(3) == []
