"""Around every request: its id, and one line in the log, which names no text."""

import logging
import re
import time
import uuid
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvwire.logs import request_id

_log = logging.getLogger(__name__)

# Of an id that a caller or a proxy chose; what else comes, an id is made for.
_TAKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Told:
    """Gives each request an id, which goes to the receiver, into the answer's ``x-request-id`` and into the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        said = Headers(scope=scope).get("x-request-id", "")
        asked = said if _TAKEN.fullmatch(said) else uuid.uuid4().hex
        request_id.set(asked)
        began, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = asked
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            seconds = time.perf_counter() - began
            _log.info("%s %s: %d after %.3f s", scope["method"], quote(scope["path"]), status, seconds)
