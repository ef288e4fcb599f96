"""``python -m receiver_service``: run a receiver."""

import sys
from collections.abc import Coroutine
from typing import Any

from kvwire.config import ReceiverSettings
from kvwire.rpc.main import main


def serve(arguments: list[str]) -> int:
    """Run a receiver with these options; return the exit status."""
    return main("receiver", ReceiverSettings, _run, arguments)


def _run(settings: ReceiverSettings) -> Coroutine[Any, Any, None]:
    from receiver_service.server import run  # noqa: PLC0415  # torch takes seconds; a wrong option is told before

    return run(settings)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
