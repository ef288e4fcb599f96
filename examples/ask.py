"""Ask a receiver one question whose answer only the sharer has read.

Start both with ``kvwire up``, then: ``python examples/ask.py 127.0.0.1:50052``
"""

import asyncio
import sys

from kvwire import Client, Exchange, GenerateRequest, Method, Text


async def main(address: str) -> None:
    """Show the answer, and what it took to bring the sharer's cache over."""
    request = GenerateRequest(
        context=Text("Mia hid the key under the blue pot. "),  # the receiver never reads this
        prompt=Text("Where is the key? Answer:"),
        exchange=Exchange(method=Method.PREFIX, codec="int8"),
        max_new_tokens=16,
    )
    async with Client(address) as receiver:
        answer = await receiver.generate_all(request)
    print(answer.text)
    print(f"first token after {1000 * answer.first_token_s:.0f} ms")
    if answer.report.bytes is not None:
        moved = answer.report.bytes
        print(f"{moved.payload_bytes} bytes of cache, {moved.bits_per_value:.2f} bits per value")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
