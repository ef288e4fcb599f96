"""Measure accuracy, bytes and latency of two codecs from Python, as ``kvwire loadtest`` does.

Start a pair with ``kvwire up``, then: ``python examples/load_test.py 127.0.0.1:50052``
"""

import asyncio
import sys

from kvwire import Client, Exchange, Method
from loadtest import Driver, Outcome, Plan, load, summarize


async def main(address: str) -> None:
    """Ten questions whose facts only the sharer reads; the set comes with kvwire."""
    items = load("pocket", limit=10)
    async with Client(address) as receiver:
        described = await receiver.describe()
        for codec in ("fp16", "int4"):
            plan = Plan(Exchange(method=Method.PREFIX, codec=codec), concurrency=2)
            outcomes = await Driver(receiver, plan).run(items, tell)
            result = summarize({"dataset": "pocket"}, plan, {"receiver": described}, outcomes)
            print(
                f"{codec}: {result['right']} of {result['items']}, {result['payload_bytes_per_request']:.0f} bytes each"
            )


def tell(outcome: Outcome) -> None:
    """Called as each answer comes."""
    print("." if outcome.result.error is None else outcome.result.error, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
