"""Ctrl-C ends a command and all it started, without a traceback."""

import os
import signal
import socket
import subprocess
import sys

import pytest

#: What `kvwire loadtest --processes 2` does once the service has described itself.
SPREAD = """
import sys
from kvwire.requests import Exchange
from kvwire.security import ClientSecurity
from loadtest.client_processes import Target, spread
from loadtest.datasets import load
from loadtest.driver import Plan
try:
    target = Target(sys.argv[1], ClientSecurity(), Plan(Exchange(), warmup=0))
    spread(target, load("pocket", limit=1), (0.0, 0.1), 2, print)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def silent():
    """Somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def interrupted(command, silent, connections):
    """Status and words after Ctrl-C, once so many connections stand: a terminal tells every process of the group."""
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    running = subprocess.Popen(
        [*command, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    taken = [silent.accept()[0] for _ in range(connections)]
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    for each in taken:
        each.close()
    return running.returncode, said


def test_a_command_that_waits_for_a_service_ends_at_once(silent):
    """With the status shells know."""
    command = [sys.executable, "-m", "kvwire", "loadtest", "--limit", "1", "--receiver"]
    assert interrupted(command, silent, 1) == (130, "")


def test_client_processes_end_in_silence(silent):
    """Who began them ends them; each has a connection by then."""
    assert interrupted([sys.executable, "-c", SPREAD], silent, 2) == (130, "")
