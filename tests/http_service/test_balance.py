"""Several receivers behind a front door, asked as its settings say."""

import asyncio
import json
import os
import signal

import pytest

from http_service import server
from kvwire.balancing.choice import Balance
from kvwire.config import HttpSettings
from tests.kvwire.rpc.scripted import scripted
from tests.over_http import fetch

JSON = {"Content_Type": "application/json"}
ASKED = json.dumps({"prompt": "Where?", "kvwire": {"context": "The key is under the pot."}})


@pytest.mark.parametrize(("balance", "calls"), [(Balance.AFFINITY, {0, 4}), (Balance.ROUND_ROBIN, {2})], ids=str)
async def test_a_question_goes_where_its_balance_sends_it(balance, calls, monkeypatch):
    """One context, four times: to one receiver, or to each in turn."""
    ready = asyncio.Queue()
    monkeypatch.setattr(server, "announce", lambda **where: ready.put_nowait(where["address"]))
    async with scripted() as receivers:
        addresses = ",".join(each.address for each in receivers)
        free = "127.0.0.1:0"
        settings = HttpSettings(listen=free, metrics_listen=free, receiver=addresses, balance=balance)
        running = asyncio.create_task(server.run(settings))
        address = await ready.get()
        for _ in range(4):
            answered = asyncio.to_thread(fetch, address, "/v1/completions", "POST", ASKED, **JSON)
            assert (await answered)[0] == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    assert {each.calls for each in receivers} == calls
