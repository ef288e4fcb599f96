"""How far a gRPC stream runs ahead of who reads it: messages that were accepted while the other side read only one."""

import asyncio
from collections.abc import AsyncIterator

import grpc

#: As large as a stream's chunks may be, and more of them than any window holds.
_MESSAGE_BYTES, _MESSAGES = 1 << 20, 64
#: After so long nothing more is accepted.
_SETTLED_S = 0.5


async def window_bytes() -> int:
    """Bytes that a stream on loopback takes before it waits for its reader, once a fast one has opened its window."""
    accepted = 0

    async def stream(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        nonlocal accepted
        del request, context
        accepted = 0
        for _ in range(_MESSAGES):
            yield bytes(_MESSAGE_BYTES)
            accepted += 1

    server = grpc.aio.server()
    handlers = {"Window": grpc.unary_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = channel.unary_stream("/bench/Window", bytes, bytes)
            async for _ in ask(b""):
                pass
            call = ask(b"")
            await call.read()
            await asyncio.sleep(_SETTLED_S)
            call.cancel()
    finally:
        await server.stop(_SETTLED_S)  # what was cancelled ends by itself
    return accepted * _MESSAGE_BYTES
