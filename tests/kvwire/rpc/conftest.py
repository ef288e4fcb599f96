"""Servers in this process say here where they are."""

import asyncio

import pytest

from kvwire.rpc import server


@pytest.fixture
def announced(monkeypatch):
    """Where a server says that it is ready."""
    found = asyncio.Queue()
    monkeypatch.setattr(server, "announce", lambda **where: found.put_nowait(where["address"]))
    return found
