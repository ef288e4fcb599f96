"""`kvwire up` and Ctrl-C."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

OPTIONS = ("sharer-listen", "receiver-listen", "sharer-metrics", "receiver-metrics")
FREE_PORTS = [f"--{option}=127.0.0.1:0" for option in OPTIONS]
KVWIRE = str(Path(sys.executable).with_name("kvwire"))


@contextmanager
def launched(*arguments):
    """`kvwire up` with a tiny pair; killed at the end if a test failed before it ended."""
    command = [KVWIRE, "up", *FREE_PORTS, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def children(process_id):
    """Processes started by a process, by /proc."""
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [int(child) for child in listed.split()]


def ends(process_id):
    """Whether a process that is not ours to wait for ends within 20 seconds."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_up_serves_until_ctrl_c_and_leaves_nothing_behind(tiny_llama, tmp_path):
    """Both services answer while it runs; Ctrl-C ends it with 130 and stops them."""
    pair = f"path:{tiny_llama}:path:{tiny_llama}"
    with launched("--pair", pair, "--json", str(tmp_path / "up.json")) as up:
        said = ""
        while "ask with:" not in said:
            line = up.stdout.readline()
            assert line, "ended before it was ready"
            said += line
        started = children(up.pid)
        with urllib.request.urlopen(re.search(r"^live page: (.*)$", said, re.MULTILINE)[1], timeout=5) as page:  # noqa: S310  # ours
            assert b"kvwire" in page.read()
        receiver = json.loads((tmp_path / "up.json").read_text())["receiver_service"]["address"]
        asked = [KVWIRE, "ask", "--context", "a fact ", "--prompt", "hello", "--receiver", receiver]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=40) == 130
    assert len(started) == 2
    assert all(ends(process_id) for process_id in started)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("services", [1, 2])
@pytest.mark.slow
def test_a_launcher_that_ends_while_services_start_leaves_nothing_behind(tiny_llama, name, services):
    """At the first sign of life of the sharer, or of the receiver, by Ctrl-C or by force."""
    with launched("--pair", f"path:{tiny_llama}:path:{tiny_llama}") as up:
        while len(children(up.pid)) < services:
            assert up.poll() is None
        started = children(up.pid)
        up.send_signal(name)
        assert up.wait(timeout=40) in (130, -signal.SIGKILL)
    assert all(ends(process_id) for process_id in started)
