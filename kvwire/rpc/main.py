"""The entry point all services share: settings in, one event loop, a readable error out."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from kvwire.config import ProcessSettings
from kvwire.errors import KvwireError
from kvwire.launched import stop_with_stdin
from kvwire.logs import setup_logging

S = TypeVar("S", bound=ProcessSettings)


def main(
    service: str, settings_type: type[S], run: Callable[[S], Coroutine[Any, Any, None]], arguments: list[str]
) -> int:
    """Run a service by its name with settings from ``arguments`` and the environment; return the exit status."""
    try:
        settings = settings_type(_cli_parse_args=arguments)
    except (ValidationError, SettingsError) as error:
        sys.stderr.write(f"error: {_problems(error)}\n")
        return 2
    setup_logging(service, settings.log_level, settings.log_format)
    if settings.stop_with_stdin:
        stop_with_stdin()
    # Until the server takes signals over, Ctrl-C ends the process at once; a pull survives that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except KvwireError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _problems(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
