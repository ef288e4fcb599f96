"""Looks inside a generation of a receiver that was started with ``--inspect``."""

from dataclasses import dataclass

import grpc
import numpy as np
import torch
from torch import Tensor

from kvwire.errors import LocalError
from kvwire.report import Report
from kvwire.requests import GenerateRequest
from kvwire.rpc import answer_serde, serde
from kvwire.rpc.status import error_from_rpc
from kvwire.v1 import receiver_service_pb2 as pb
from kvwire.v1 import receiver_service_pb2_grpc

# A cache's layer comes as one message; inspection is for small models, and this is 64 times gRPC's default.
_OPTIONS = [("grpc.max_receive_message_length", 256 * 1024 * 1024)]


@dataclass(frozen=True, eq=False)
class Inspected:
    """What a generation was made from: all float32.

    logits: ``(steps, vocabulary)``, from which each of ``tokens`` was taken.
    keys, values: per layer ``(kv_heads, tokens, head_dim)``, keys after RoPE, when the first token was taken.
    """

    tokens: tuple[int, ...]
    logits: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    report: Report


async def inspect(address: str, request: GenerateRequest) -> Inspected:
    """Run a generation and take everything.

    Raises:
        KvwireError: What the receiver answered.
    """
    tokens, logits, keys, values = list[int](), list[Tensor](), list[Tensor](), list[Tensor]()
    report: Report | None = None
    async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
        stub = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        asked = pb.InspectRequest(generate=serde.generate_to_proto(request), with_cache=True)
        try:
            async for event in stub.Inspect(asked):
                match event.WhichOneof("event"):
                    case "step":
                        tokens.append(event.step.token_id)
                        logits.append(_floats(event.step.logits))
                    case "cache":
                        shape = (event.cache.kv_heads, event.cache.tokens, event.cache.head_dim)
                        keys.append(_floats(event.cache.keys).reshape(shape))
                        values.append(_floats(event.cache.values).reshape(shape))
                    case _:
                        report = answer_serde.report_from_proto(event.report)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, address) from error
    if report is None:
        raise LocalError(f"{address} ended the inspection without a report; it runs another version of kvwire")
    return Inspected(tuple(tokens), torch.stack(logits), tuple(keys), tuple(values), report)


def _floats(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float32))
