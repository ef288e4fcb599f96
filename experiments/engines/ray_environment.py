"""What Ray is told by its environment, which it reads when it is imported."""

import os
import secrets

#: The address that asks for a Ray of our own, on this machine and for this run.
LOCAL = "local"


def prepare(address: str) -> None:
    """Set it, before Ray is imported; what the user has set stays.

    A Ray of our own is open to nobody else: it listens on loopback, and whoever wants something of it must know a token
    that is made for this run, since what it is sent is code that it runs.
    """
    wanted = {"RAY_USAGE_STATS_ENABLED": "0"}  # no word to its makers of who ran what
    if address == LOCAL:
        wanted |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only switch to loopback; on Linux it does the same
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
