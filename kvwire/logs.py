"""Logs on standard error: lines to read, or one JSON object each, with the id of the request they are about.

An unexpected exception is told by its type and place. Its own words are left out: whoever raised it may have put a
piece of a prompt there, which no log may hold. What kvwire raises on purpose has words of its own, which are logged.
"""

import json
import logging
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

Format = Literal["text", "json"]

#: Of the request that the running task answers; each call has a task, and so a context, of its own.
request_id: ContextVar[str] = ContextVar("request_id", default="")


def setup_logging(service: str, level: str, form: Format) -> None:
    """Log to standard error, one line per event."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json(service) if form == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler])


_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _Wordless(logging.Formatter):
    """Tells of exceptions where they were raised and of which type they are."""

    def formatException(self, ei: _Raised) -> str:  # noqa: N802  # the parent's name
        error, told = ei[1], list[str]()
        while error is not None:
            told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nraised after:\n".join(told)


class _Text(_Wordless):
    """Time, level, logger, message, and the request if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        found, asked = super().format(record), request_id.get()
        return f"{found} [request {asked}]" if asked else found


class _Json(_Wordless):
    """``time`` in UTC, ``level``, ``logger``, ``service``, ``message``; ``request_id`` and ``exception`` if any."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "service": self._service,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            "exception": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return json.dumps({name: value for name, value in said.items() if value}, ensure_ascii=False)
