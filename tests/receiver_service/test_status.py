"""What the live page is told where the sharers are slow to say."""

import asyncio

from receiver_service.live.status import Status


class Silent:
    """Sharers of which nobody answers."""

    names = ("s",)

    def __init__(self):
        self.given_up = asyncio.Event()

    async def models(self, _timeout_s):
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()


async def test_a_look_that_is_given_up_leaves_nothing_that_waits(monkeypatch):
    """The page looks once a second: they would come to many."""
    monkeypatch.setattr("receiver_service.live.status._DESCRIBE_WITHIN_S", 0.25)
    sharers = Silent()
    status = Status(None, None, sharers, None)
    assert await asyncio.to_thread(status._sharer_models) == {"s": ""}
    await asyncio.wait_for(sharers.given_up.wait(), 30)
