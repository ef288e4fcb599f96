"""Show tokens as they come, and go on without the sharer if it fails.

Start both with ``kvwire up``, then: ``python examples/stream_and_fall_back.py 127.0.0.1:50052``
"""

import asyncio
import sys

from kvwire import (
    Client,
    DeadlineError,
    Exchange,
    FaultPolicy,
    GenerateRequest,
    Method,
    OverloadedError,
    RequestInfo,
    Text,
    Token,
)


async def main(address: str) -> None:
    """Every error has a class; those that waiting helps with are caught here."""
    request = GenerateRequest(
        context=Text("The ferry to the island leaves at six. "),
        prompt=Text("When does the ferry leave? Answer:"),
        exchange=Exchange(method=Method.PREFIX, codec="nf4", on_fault=FaultPolicy.RECEIVER_ONLY),
        max_new_tokens=16,
        info=RequestInfo(deadline_ms=60_000),
    )
    async with Client(address) as receiver:
        await receiver.wait_ready(timeout_s=30)
        try:
            async for event in receiver.generate(request):
                if isinstance(event, Token):
                    print(event.text, end="", flush=True)
                else:
                    print(f"\nanswered by {event.path}: {event.reason}")
        except (DeadlineError, OverloadedError) as error:
            sys.exit(f"try again later: {error}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
