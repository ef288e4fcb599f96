"""The tester runs ahead of the services where it may, and only while it sends."""

import os

import pytest

from loadtest.precedence import precedence


def nice():
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_priority_is_raised_while_the_block_runs_and_put_back(monkeypatch):
    """Also when the block fails."""
    asked = []
    monkeypatch.setattr(os, "setpriority", lambda _which, _who, value: asked.append(value))
    before = nice()
    with pytest.raises(ValueError, match="broken"), precedence():
        raise ValueError("broken")
    assert asked == [before - 10, before]


def test_where_it_is_not_allowed_nothing_changes(monkeypatch):
    """As for any user but root."""

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    before = nice()
    with precedence():
        assert nice() == before
