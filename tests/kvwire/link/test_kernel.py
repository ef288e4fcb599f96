"""The relay against the kernel's own token bucket, where a test may make network namespaces."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from kvwire.errors import StartError
from kvwire.link.kernel import kernel_link
from kvwire.link.shape import Shape
from kvwire.processes import running_link

MIB = 1024 * 1024

#: Sends so many bytes to whoever connects, and says where.
SENDER = """
import socket, sys
host, count = sys.argv[1], int(sys.argv[2])
with socket.create_server((host, 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        connection = listener.accept()[0]
        connection.sendall(b"x" * count)
        connection.close()
"""


@pytest.fixture
def made():
    """Makes a host behind 4 MiB/s."""
    try:
        with kernel_link(Shape(4 * MIB)):
            pass
    except StartError as refused:
        pytest.skip(f"no namespace or token bucket here: {refused}")
    return lambda: kernel_link(Shape(4 * MIB))


def names():
    """Of all namespaces and interfaces of this host."""
    shown = [["ip", "netns", "list"], ["ip", "-brief", "link"]]
    return "".join(subprocess.run(each, check=True, capture_output=True, text=True).stdout for each in shown)


@contextmanager
def sender(host, count, inside=()):
    command = [*inside, sys.executable, "-c", SENDER, host, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"{host}:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def seconds(address, count):
    """The quickest of three."""
    host, port = address.split(":")
    found = []
    for _ in range(3):
        begun, took = time.monotonic(), 0
        with socket.create_connection((host, int(port)), 10) as end:
            while piece := end.recv(65536):
                took += len(piece)
        found.append(time.monotonic() - begun)
        assert took == count
    return min(found)


def test_the_relay_is_as_fast_as_the_kernels_link_of_the_same_rate(made):
    """4 MiB at 4 MiB/s; the kernel's bucket lets its burst of 128 KiB through at once."""
    count = 4 * MIB
    with made() as link, sender(link.address, count, link.inside) as address:
        kernels = seconds(address, count)
    with sender("127.0.0.1", count) as address, running_link(address, Shape(4 * MIB)) as relay:
        relays = seconds(relay.address, count)
    assert kernels == pytest.approx(relays, rel=0.15)  # beside other tests; alone within 0.05


def test_nothing_is_left_of_a_link_at_its_end(made):
    """Neither its namespace nor its interfaces."""
    with made() as link:
        assert link.namespace in names()
    assert link.namespace not in names()


def test_a_delay_is_refused():
    """The kernel's bucket has none."""
    with pytest.raises(StartError, match="rate only"), kernel_link(Shape(MIB, 0.01)):
        pass
