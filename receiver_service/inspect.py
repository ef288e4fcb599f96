"""The ReceiverService: logits and caches of one generation, for tests; off by default."""

from collections.abc import AsyncIterator

import torch
from torch import Tensor

from kvwire.engine.answer import Answerer
from kvwire.engine.cache import PositionedCache
from kvwire.engine.decode import Step
from kvwire.errors import UnsupportedError
from kvwire.rpc import answer_serde, serde
from kvwire.rpc.context import Context
from kvwire.rpc.model_servicer import task_for
from kvwire.v1 import receiver_service_pb2 as pb
from kvwire.v1 import receiver_service_pb2_grpc


class InspectServicer(receiver_service_pb2_grpc.ReceiverServiceServicer):
    """Shows the inside of a generation if the receiver was started with inspection on."""

    def __init__(self, answerer: Answerer, *, enabled: bool) -> None:
        self._answerer = answerer
        self._enabled = enabled

    async def Inspect(  # noqa: N802  # the proto names it
        self, request: pb.InspectRequest, context: Context
    ) -> AsyncIterator[pb.InspectResponse]:
        """Stream the cache if asked for, then logits per step, then the report."""
        if not self._enabled:
            raise UnsupportedError("inspection is off; start the receiver with --inspect, in tests only")
        asked = serde.generate_from_proto(request.generate)
        task = task_for(context, asked.info)
        question = self._answerer.question(asked, asked.max_new_tokens, task)
        with self._answerer.worker.admit(task):
            ready = await self._answerer.ready(question)
            if request.with_cache:
                for layer in range(len(ready.cache.keys)):
                    yield pb.InspectResponse(cache=_layer(ready.cache, layer))
            async for event in self._answerer.steps(ready, asked, question):
                if isinstance(event, Step):
                    step = pb.StepLogits(token_id=event.token_id, logits=_float32(event.logits))
                    yield pb.InspectResponse(step=step)
                else:
                    yield pb.InspectResponse(report=answer_serde.report_to_proto(event))


def _layer(cache: PositionedCache, layer: int) -> pb.LayerCache:
    keys, values = cache.layer(layer)
    kv_heads, tokens, head_dim = keys.shape
    return pb.LayerCache(
        layer=layer,
        kv_heads=kv_heads,
        tokens=tokens,
        head_dim=head_dim,
        keys=_float32(keys),
        values=_float32(values),
    )


def _float32(tensor: Tensor) -> bytes:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4").tobytes()
