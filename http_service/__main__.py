"""``python -m http_service``: run an HTTP front door."""

import sys
from collections.abc import Coroutine
from typing import Any

from kvwire.config import HttpSettings
from kvwire.errors import StartError
from kvwire.rpc.main import main


def serve(arguments: list[str]) -> int:
    """Run a front door with these options; return the exit status."""
    return main("http", HttpSettings, _run, arguments)


def _run(settings: HttpSettings) -> Coroutine[Any, Any, None]:
    try:
        from http_service.server import run  # noqa: PLC0415  # an optional extra; a wrong option is told before
    except ModuleNotFoundError as error:
        raise StartError(
            f"the HTTP front door needs {error.name}; install it with: pip install 'kvwire[http]'"
        ) from error
    return run(settings)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
