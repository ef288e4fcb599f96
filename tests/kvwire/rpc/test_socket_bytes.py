"""The kernel's counters against bytes sent by hand."""

import socket
import sys

import pytest

from kvwire.rpc.socket_bytes import socket_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO byte counters are Linux's")


def test_the_counters_count_exactly_what_passes_to_a_peer():
    """1,000 bytes out and 77 back, on one of two connections."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = server.getsockname()[1]
        with (
            socket.create_connection(server.getsockname()) as near,
            socket.create_connection(other.getsockname()) as far,
        ):
            there, elsewhere = server.accept()[0], other.accept()[0]
            with there, elsewhere:
                before = socket_bytes(frozenset({port}))
                near.sendall(b"x" * 1000)
                far.sendall(b"x" * 5000)
                there.recv(1000, socket.MSG_WAITALL)
                there.sendall(b"y" * 77)  # its acknowledgement of the 1,000 arrives no later than this
                near.recv(77, socket.MSG_WAITALL)
                moved = socket_bytes(frozenset({port})) - before
    assert (moved.sent, moved.received) == (1000, 77)
