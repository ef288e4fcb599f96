"""``python -m sharer_service``: run a sharer."""

import sys
from collections.abc import Coroutine
from typing import Any

from kvwire.config import SharerSettings
from kvwire.rpc.main import main


def serve(arguments: list[str]) -> int:
    """Run a sharer with these options; return the exit status."""
    return main("sharer", SharerSettings, _run, arguments)


def _run(settings: SharerSettings) -> Coroutine[Any, Any, None]:
    from sharer_service.server import run  # noqa: PLC0415  # torch takes seconds; a wrong option is told before

    return run(settings)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
