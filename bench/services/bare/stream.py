"""A gRPC server that answers a call with the messages of a folder: ``python -m bench.services.bare.stream``.

Same loop, options and environment as a service; nothing but the stream.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import uvloop

from kvwire.launched import announce, stop_with_stdin
from kvwire.rpc.server import server_options

#: What a stream's client asks for.
METHOD = "/bare.Stream/Replay"
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024


async def serve(messages: Sequence[bytes]) -> None:
    """Serve until SIGTERM on a free port."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def replay(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    name, _, method = METHOD.strip("/").rpartition("/")
    handler = grpc.method_handlers_generic_handler(name, {method: grpc.unary_stream_rpc_method_handler(replay)})
    server = grpc.aio.server(options=server_options(_MAX_MESSAGE_BYTES))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce(address=f"127.0.0.1:{port}")
    await stop.wait()
    await server.stop(None)


def main() -> None:
    """Read the messages and serve them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=Path, required=True, help="a folder of files, sent by their names' order")
    parser.add_argument("--stop-with-stdin", action="store_true")
    arguments = parser.parse_args()
    messages = [file.read_bytes() for file in sorted(arguments.messages.iterdir())]
    if arguments.stop_with_stdin:
        stop_with_stdin()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(messages))


if __name__ == "__main__":
    main()
