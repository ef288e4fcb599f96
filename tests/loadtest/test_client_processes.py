"""One load from several processes: everything is told as it comes, and nothing that is missing goes unsaid."""

import asyncio
from dataclasses import replace

import pytest

from kvwire.errors import KvwireError
from kvwire.requests import Exchange, Method
from kvwire.security import ClientSecurity
from loadtest.client_processes import Target, spread
from loadtest.datasets import load
from loadtest.driver import Outcome, Plan
from loadtest.load_progress import Figures, load_progress
from loadtest.open_loop import Sent
from loadtest.scoring import failed
from tests.kvwire.rpc.scripted import scripted

ITEM = load("pocket", limit=1)[0]
RIGHT = replace(failed(ITEM, KvwireError("")), error=None)


def test_a_service_nobody_reaches_ends_the_load_with_its_error():
    """As it does from one process."""
    target = Target("127.0.0.1:9", ClientSecurity(), Plan(Exchange(Method.PREFIX)))
    with pytest.raises(KvwireError, match=r"127\.0\.0\.1:9"):
        spread(target, [ITEM], (0.0, 0.1), 2, lambda _: pytest.fail("nothing was sent"))


async def test_the_service_is_warmed_up_before_any_process_sends():
    """Once for all of them, as the plan says; nobody is told of it."""
    told = []
    async with scripted(1) as (service,):
        target = Target(service.address, ClientSecurity(), Plan(Exchange(Method.RECEIVER_READS), "letter"))
        sent = await asyncio.to_thread(spread, target, [ITEM], (0.0, 0.1, 0.2), 2, told.append)
    assert service.calls == 1 + 3
    assert sorted(told, key=lambda each: each.due_s) == sent
    assert [each.due_s for each in sent] == [0.0, 0.1, 0.2]


def test_figures_are_of_the_last_answers_and_all_failures():
    """Failures are counted, and take no part in latencies."""
    figures = Figures()
    for total_s in [9.0] * 50 + [0.1] * 200:
        figures.add(Sent(0.0, 0.0, Outcome(RIGHT, total_s=total_s)))
    figures.add(Sent(0.0, 0.0, Outcome(failed(ITEM, KvwireError("gone")))))
    assert str(figures) == "1 failed, p50 100 ms, p95 100 ms of the last 200"


def test_where_there_is_no_terminal_the_end_is_a_line(capsys):
    """With the count and the figures."""
    with load_progress("prefix int8, 2/s", 1) as told:
        told(Sent(0.0, 0.0, Outcome(RIGHT, total_s=0.25)))
    assert capsys.readouterr().err == "prefix int8, 2/s: 1/1 requests, 0 failed, p50 250 ms, p95 250 ms of the last 1\n"
