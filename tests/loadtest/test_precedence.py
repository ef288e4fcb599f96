"""The tester runs ahead of the services where it may, and only while it sends."""

import os

import pytest

from loadtest.precedence import precedence


def test_the_thread_runs_in_real_time_while_the_block_runs_and_is_put_back(monkeypatch):
    """Also when the block fails."""
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda _who, policy, _parameters: asked.append(policy))
    with pytest.raises(ValueError, match="broken"), precedence():
        raise ValueError("broken")
    assert asked == [os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_getscheduler(0)]


def test_where_it_is_not_allowed_nothing_changes(monkeypatch):
    """As for any user but root."""

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    before = os.sched_getscheduler(0)
    with precedence():
        assert os.sched_getscheduler(0) == before
