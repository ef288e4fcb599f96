"""Reads the kernel's byte counters (TCP_INFO) of this process's connections to one peer.

gRPC owns the sockets and shows none of them, so they are found among the process's file descriptors by their peer
address. The counters are of TCP stream bytes: what TLS and HTTP/2 add is in, IP and TCP headers are not.
"""

import os
import socket
import stat
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

# Offsets in Linux's struct tcp_info (include/uapi/linux/tcp.h): two u64, tcpi_bytes_acked and tcpi_bytes_received.
_ACKED_OFFSET = 120
_TCP_INFO_BYTES = 136


@dataclass(frozen=True)
class SocketBytes:
    """Bytes sent and acknowledged, and bytes received, over all connections to the peer."""

    sent: int
    received: int

    def __sub__(self, earlier: "SocketBytes") -> "SocketBytes":
        return SocketBytes(self.sent - earlier.sent, self.received - earlier.received)


def socket_bytes(peer_ports: frozenset[int]) -> SocketBytes | None:
    """Sum the counters of this process's TCP connections to any of these remote ports; None off Linux."""
    if sys.platform != "linux":
        return None
    sent = received = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        counters = _counters(int(descriptor.name), peer_ports)
        sent += counters.sent
        received += counters.received
    return SocketBytes(sent, received)


def _counters(descriptor: int, peer_ports: frozenset[int]) -> SocketBytes:
    """One descriptor's counters; zero for anything but a TCP connection to the peer."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return SocketBytes(0, 0)
        copy = socket.socket(fileno=os.dup(descriptor))
    except OSError:  # closed since the listing
        return SocketBytes(0, 0)
    try:
        if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.type != socket.SOCK_STREAM:
            return SocketBytes(0, 0)
        if copy.getpeername()[1] not in peer_ports:
            return SocketBytes(0, 0)
        info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return SocketBytes(0, 0)
    finally:
        copy.close()
    acked, received = struct.unpack_from("<QQ", info, _ACKED_OFFSET)
    return SocketBytes(acked, received)
