"""What comes with a POST: its bytes within a limit, from a program and not from a page, and its caller's token."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from kvwire.errors import AuthenticationError, CancelledError, ForbiddenError, InvalidRequestError, TooLargeError

T = TypeVar("T")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request, whole.

    Raises:
        ForbiddenError: A page in a browser sends it. Whoever opens that page did not mean to ask, and where no token is
            wanted nothing else would tell it from a program on the same machine.
        InvalidRequestError: It is not announced as JSON, which a page could send to another site unasked.
        TooLargeError: It has more bytes than are taken; the rest is not read.
        CancelledError: The caller hung up before its end.
    """
    if "origin" in request.headers:
        raise ForbiddenError("pages in a browser are not answered; ask from a program, such as the page's own server")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidRequestError("send the request as content-type application/json")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > max_bytes:
                raise TooLargeError(f"the body has more than {max_bytes} bytes, the limit; shorten it")
    except ClientDisconnect as error:
        raise CancelledError("the caller hung up") from error
    return bytes(body)


def token_of(request: Request) -> str:
    """The caller's bearer token, empty if none was sent. It is for the receiver to judge.

    Raises:
        AuthenticationError: Something that cannot be a token.
    """
    said = request.headers.get("authorization", "")
    scheme, _, token = said.partition(" ")
    if said and (scheme.lower() != "bearer" or not (token.isascii() and token.isprintable())):
        raise AuthenticationError("send the token as 'Authorization: Bearer <token>'")
    return token.strip()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do some work as long as the caller is there to hear of it.

    Raises:
        CancelledError: The caller hung up; the work was stopped.
    """
    doing, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise CancelledError("the caller hung up")
        return doing.result()
    finally:
        doing.cancel()
        gone.cancel()
        await asyncio.gather(doing, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Wait until the caller hangs up; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
