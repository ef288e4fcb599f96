"""Of a soak with faults: processes that are killed while they are looked at, and what the picture counts."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bench.services.fault_soak import Lives
from bench.services.fault_soak_figure import plot
from kvwire.processes import RunningService
from loadtest.driver import Outcome
from loadtest.open_loop import Sent
from loadtest.scoring import ItemResult


def running(name, pid):
    """A process that nobody has found to have ended."""
    return RunningService(name, SimpleNamespace(pid=pid, poll=lambda: None), "", "")


@pytest.fixture(params=["its parent has not asked", "its parent has asked just now"])
def killed(request):
    """One that is dead: still there, or gone."""
    with subprocess.Popen([sys.executable, "-c", "print(flush=True)"], stdout=subprocess.PIPE) as process:
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if request.param == "its parent has asked just now":
            process.wait()
        yield running("sharer", process.pid)


def test_a_process_that_is_being_killed_ends_no_sampling(killed):
    """It has no memory any more; the other one is looked at all the same."""
    lives = Lives(running("receiver", os.getpid()), SimpleNamespace(starts=1, service=killed))
    for _ in range(2):
        lives.sample(0.0)
    assert len(lives.memory["receiver"].bytes) == 2
    assert lives.memory["sharer 1"].bytes == []


def test_two_requests_that_failed_alike_are_two():
    """Sent at one time, as a trace may want it."""
    failed = Sent(1.0, 0.0, Outcome(ItemResult("one", 0, error="UNAVAILABLE")))
    assert "0.0 min: 2" in plot([failed, failed], [], {})
