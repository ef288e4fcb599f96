"""What a running link does to bytes between two sockets."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

import pytest

from kvwire.errors import StartError
from kvwire.link.relay import Relay
from kvwire.link.shape import Shape
from kvwire.processes import running_link

MIB = 1024 * 1024


@contextmanager
def joined(shape):
    """The client's and the server's socket of one connection over a link."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with running_link(f"127.0.0.1:{listener.getsockname()[1]}", shape) as link:
            host, port = link.address.split(":")
            with socket.create_connection((host, int(port)), 10) as client, listener.accept()[0] as server:
                for end in (client, server):
                    end.settimeout(10)
                yield client, server


def taken(end, count):
    """So many bytes, or what came before the end."""
    found = bytearray()
    while len(found) < count and (piece := end.recv(65536)):
        found += piece
    return bytes(found)


def sent(end, data):
    thread = threading.Thread(target=end.sendall, args=(data,), daemon=True)
    thread.start()
    return thread


def seconds(shape, data, *, both_ways=False):
    """How long bytes take from server to client, the quickest of three times: other processes are at work too."""
    found = []
    with joined(shape) as (client, server):
        for _ in range(3):
            begun = time.monotonic()
            senders = [sent(server, data)] + ([sent(client, data)] if both_ways else [])
            with ThreadPoolExecutor(2) as readers:
                takes = [readers.submit(taken, end, len(data)) for end in (client, server)[: len(senders)]]
            found.append(time.monotonic() - begun)
            assert all(take.result() == data for take in takes)
    return min(found)


@pytest.mark.parametrize("delay_s", [0.0, 0.04])
def test_bytes_come_out_unchanged_at_the_rate_and_a_delay_later(delay_s):
    """1 MiB at 4 MiB/s takes a quarter of a second."""
    assert seconds(Shape(4 * MIB, delay_s), os.urandom(MIB)) == pytest.approx(0.25 + delay_s, rel=0.05)


def test_both_directions_have_the_whole_rate():
    """Half a MiB each way at once takes as long as one way alone."""
    assert seconds(Shape(2 * MIB), os.urandom(MIB // 2), both_ways=True) == pytest.approx(0.25, rel=0.05)


def test_an_answer_comes_a_round_trip_later():
    """Small messages wait for the delay alone, twice."""
    with joined(Shape(125 * MIB, 0.05)) as (client, server):
        begun = time.monotonic()
        client.sendall(b"ask")
        taken(server, 3)
        server.sendall(b"answer")
        assert taken(client, 6) == b"answer"
        assert time.monotonic() - begun == pytest.approx(0.1, rel=0.1)


def test_losses_hold_bytes_up_and_change_none():
    """Every tenth segment is lost: in order they still come, later."""
    data = os.urandom(MIB // 4)
    with joined(Shape(4 * MIB, 0.01, 0.1)) as (client, server):
        begun = time.monotonic()
        sent(server, data)
        assert taken(client, len(data)) == data
        assert time.monotonic() - begun > 0.0625 + 0.01 + 0.02


def test_an_end_that_closes_closes_the_other_once_all_has_come():
    """One direction may end before the other, as with a socket."""
    with joined(Shape(4 * MIB, 0.02)) as (client, server):
        client.sendall(b"all")
        client.shutdown(socket.SHUT_WR)
        assert taken(server, 10) == b"all"
        server.sendall(b"heard")
        server.close()
        assert taken(client, 10) == b"heard"


def test_an_end_that_breaks_breaks_the_other():
    """A reset is not an end: the other side learns of it while it waits for more."""
    with joined(Shape(4 * MIB)) as (client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert taken(server, 1) == b""


def test_whoever_sends_is_held_up_by_whoever_does_not_read():
    """What the link and sockets of a reader of 64 KiB take in is far less than what the sender has."""
    with joined(Shape(100 * MIB)) as (client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        server.settimeout(0.3)
        took = 0
        with contextlib.suppress(TimeoutError):
            while took < 64 * MIB:
                took += server.send(b"x" * 65536)
    assert took < 2 * MIB


def test_a_link_to_nowhere_ends_its_connections():
    """As a client would see it without a link."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"127.0.0.1:{listener.getsockname()[1]}"
    with running_link(nowhere, Shape(MIB)) as link:
        host, port = link.address.split(":")
        with socket.create_connection((host, int(port)), 10) as client:
            client.settimeout(10)
            assert taken(client, 1) == b""


def test_a_link_ends_when_its_launcher_does():
    """However that ended: its standard input ends then."""
    arguments = ["--to", "127.0.0.1:1", "--rate", "1mbit", "--stop-with-stdin"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kvwire.link", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert b'"event": "ready"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("text", ["127.0.0.1", ":7", "127.0.0.1:http", "127.0.0.1:65536"])
def test_what_is_no_address_is_refused(text):
    """Before a socket says so in its own way."""
    with pytest.raises(StartError, match="write HOST:PORT, the port up to 65535"):
        Relay(text, "127.0.0.1:7", Shape(MIB), Random(0))  # noqa: S311  # a seed
