"""Logs on standard error: lines to read, or one JSON object each, with the id of the request they are about."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]

#: Of the request that the running task answers; each call has a task, and so a context, of its own.
request_id: ContextVar[str] = ContextVar("request_id", default="")


def setup_logging(service: str, level: str, form: Format) -> None:
    """Log to standard error, one line per event."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json(service) if form == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _Text(logging.Formatter):
    """Time, level, logger, message, and the request if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        found, asked = super().format(record), request_id.get()
        return f"{found} [request {asked}]" if asked else found


class _Json(logging.Formatter):
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
