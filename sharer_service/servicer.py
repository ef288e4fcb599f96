"""The SharerService: Share and Relay over gRPC."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import grpc

from kvwire.engine.decoder import Decoder
from kvwire.engine.engine import Engine
from kvwire.engine.try_out import TRIED_TOKENS
from kvwire.engine.worker import Task, Worker
from kvwire.errors import InvalidRequestError
from kvwire.progress import Stopwatch
from kvwire.report import StageTiming
from kvwire.requests import Method, RelayMode, RequestInfo, TokenIds
from kvwire.rpc import answer_serde, serde, share_request_serde, stream_serde
from kvwire.rpc.context import Context
from kvwire.rpc.enums import RELAY_MODES, known
from kvwire.rpc.model_serde import binding_to_proto
from kvwire.rpc.model_servicer import task_for
from kvwire.rpc.relay_serde import RelayAsked, reply_bytes
from kvwire.stream import ChunkWriter, Frame, ShareRequest
from kvwire.telemetry import Metrics
from kvwire.tracing import span
from kvwire.v1 import sharer_service_pb2 as pb
from kvwire.v1 import sharer_service_pb2_grpc
from sharer_service.kept import KeptCaches
from sharer_service.outgoing import Job
from sharer_service.plan import Plan, Plans
from sharer_service.prefill import Prefiller, share_bytes
from sharer_service.relay import Relayed, Wanted, plain_text, write_message

# Encoded layers waiting to be sent before the prefill is held up; two keep the wire busy, more only use memory.
_FRAMES_WAITING = 2


class SharerServicer(sharer_service_pb2_grpc.SharerServiceServicer):
    """Reads for receivers."""

    def __init__(
        self,
        engine: Engine,
        worker: Worker,
        decoder: Decoder,
        metrics: Metrics,
        kept: KeptCaches,
        plans: Plans,
        relay_max_tokens: int,
    ) -> None:
        self._engine = engine
        self._plans = plans
        self._prefiller = Prefiller(engine, kept)
        self._worker = worker
        self._decoder = decoder
        self._metrics = metrics
        self._relay_max_tokens = relay_max_tokens

    async def Share(  # type: ignore[override]  # noqa: N802  # generated code knows no serialized parts; the proto names it
        self, request: bytes, context: Context
    ) -> AsyncIterator[pb.ShareResponse | bytes]:
        """Stream header, chunks and trailer; chunks go out serialized, as the request comes in."""
        asked = share_request_serde.from_bytes(request)
        task = task_for(context, asked.info)
        with self._worker.admit(task), self._metrics.in_flight.track_inprogress():
            digest = hashlib.sha256(request).digest()
            async with aclosing(self._parts(asked, digest, task, self._metrics.count_share)) as parts:
                async for part in parts:
                    yield part

    async def try_out(self) -> None:
        """Read a few tokens and encode their cache as :meth:`Share` does, for nobody; it is counted nowhere.

        Raises:
            KvwireError: What it met.
        """
        own, task = self._engine.card.binding, Task()
        context = TokenIds(TRIED_TOKENS.ids[: self._engine.max_tokens])
        asked = ShareRequest(RequestInfo("try-out"), Method.PREFIX, context, "fp16", own, own)
        with self._worker.admit(task):
            async for _ in self._parts(asked, b"", task, lambda *_: None):
                pass

    async def _parts(
        self,
        asked: ShareRequest,
        request_digest: bytes,
        task: Task,
        count: Callable[[str, int, int, tuple[StageTiming, ...]], None],
    ) -> AsyncGenerator[pb.ShareResponse | bytes, None]:
        watch = Stopwatch("sharer")
        plan, kept, unread = await self._worker.run(lambda: self._planned(asked), task)
        sent = plan.header.content_digest not in asked.held_digests
        if sent and kept is None:  # before the header, which has the receiver wait for the rest
            await self._worker.make_room(share_bytes(self._engine, len(plan.reading.tokens)), task)
        watch.mark("queue")
        sealed = stream_serde.header_bytes(replace(plan.header, request_digest=request_digest))
        writer = ChunkWriter(sealed)
        yield stream_serde.sealed_header(sealed)

        if sent:
            made = self._frames(plan, unread, task, watch) if kept is None else _as_kept(kept, watch)
            async with aclosing(made) as frames:  # nothing computes any more once the request's memory is given back
                async for frame in frames:
                    for chunk in writer.write(frame):
                        yield stream_serde.chunk_message(chunk)
        watch.add("wait", task.waited_s)
        watch.mark("share")
        yield stream_serde.sealed_trailer(writer.trailer(plan.header.values, watch.stages()))
        span.get().tell(codec=plan.header.codec, payload_bytes=writer.payload_bytes, wait_s=task.waited_s)
        values = plan.header.values if writer.frames else 0
        count(plan.codec.spec.base.name, writer.payload_bytes, values, watch.stages())

    def _planned(self, asked: ShareRequest) -> tuple[Plan, Sequence[Frame] | None, int]:
        """What is sent, its frames if they are kept, and how many tokens are to be read; on the compute thread."""
        plan = self._plans.of(asked)
        kept = self._prefiller.frames(plan.codec, plan.reading)
        return plan, kept, self._prefiller.unread(plan.codec, plan.reading)

    async def _frames(self, plan: Plan, unread: int, task: Task, watch: Stopwatch) -> AsyncGenerator[Frame, None]:
        """The encoded layers, as they are computed."""
        with self._worker.backlog.waiting(unread) as waiting:

            def begin(emit: Callable[[Frame], None]) -> Callable[[], None]:
                job = Job(plan.codec, plan.reading, task, watch, emit, waiting)
                self._prefiller.enqueue(job)
                return lambda: self._prefiller.run(job)

            async with aclosing(self._worker.stream(begin, task, _FRAMES_WAITING)) as frames:
                async for frame in frames:
                    yield frame

    async def Relay(  # type: ignore[override]  # noqa: N802
        self, asked: RelayAsked, context: Context
    ) -> bytes:
        """Write a message from the context, or forward it; the reply goes out serialized and sealed."""
        request = asked.parsed()
        info = serde.info_from_proto(request.info)
        source = serde.optional_input(request.context)
        if source is None:
            raise InvalidRequestError("the context is empty; there is nothing to relay")
        task = task_for(context, info)
        watch = Stopwatch("sharer")
        with self._worker.admit(task), self._metrics.in_flight.track_inprogress():
            if known(RELAY_MODES, request.mode, "relay mode") is RelayMode.VERBATIM:
                text = plain_text(source)
                tokens = await self._worker.run(lambda: self._engine.prompts.plain(text), task)
                relayed = Relayed(text, len(tokens), 0)
            else:
                wanted = Wanted(source, request.instruction, request.max_new_tokens or self._relay_max_tokens)
                relayed = await write_message(self._engine, self._worker, self._decoder, wanted, task, watch)
        watch.add("wait", task.waited_s)
        watch.mark("share")
        reply = pb.RelayResponse(
            text=relayed.text,
            tokens=relayed.tokens,
            context_tokens=relayed.prompt_tokens,
            stages=answer_serde.stages_to_proto(watch.stages()),
            sharer=binding_to_proto(self._engine.card.binding),
        )
        return reply_bytes(reply, asked.data)


async def _as_kept(frames: Sequence[Frame], watch: Stopwatch) -> AsyncGenerator[Frame, None]:
    """With the stages of frames that are made, or a trailer's bytes would depend on what is kept."""
    for stage in ("prefill", "encode", "backpressure"):
        watch.add(stage, 0.0)
    for frame in frames:
        yield frame


def register(servicer: SharerServicer, server: grpc.aio.Server) -> None:
    """Add the service as generated code does, but let through as they are requests and what has checksums."""
    service = pb.DESCRIPTOR.services_by_name["SharerService"].full_name
    handlers = {
        "Share": grpc.unary_stream_rpc_method_handler(
            servicer.Share, request_deserializer=None, response_serializer=stream_serde.serialized
        ),
        "Relay": grpc.unary_unary_rpc_method_handler(
            servicer.Relay, request_deserializer=RelayAsked.of, response_serializer=None
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
