"""The request for a cache: protobuf to values and back. The stream that answers it names its digest."""

import hashlib

from kvwire.errors import InvalidRequestError
from kvwire.requests import Method
from kvwire.rpc.enums import (
    ALIGNMENT_NUMBERS,
    ALIGNMENTS,
    FAULT_POLICIES,
    FAULT_POLICY_NUMBERS,
    METHOD_NUMBERS,
    METHODS,
    known,
)
from kvwire.rpc.model_serde import binding_from_proto, binding_to_proto
from kvwire.rpc.parsed import parsed
from kvwire.rpc.serde import info_from_proto, info_to_proto, input_to_proto, optional_input
from kvwire.stream import ShareRequest
from kvwire.v1 import input_pb2, sharer_service_pb2


def from_bytes(data: bytes) -> ShareRequest:
    """A receiver's request for a cache, as it arrived; its header names the SHA-256 of these bytes.

    Raises:
        DataLossError: The bytes are not a request.
        KvwireError: As :func:`from_proto` does.
    """
    return from_proto(parsed(sharer_service_pb2.ShareRequest, data, "a request"))


def digest(request: ShareRequest) -> bytes:
    """SHA-256 of a request as it is sent, 32 bytes; the header of its answer must have the same."""
    return hashlib.sha256(to_proto(request).SerializeToString()).digest()


def from_proto(message: sharer_service_pb2.ShareRequest) -> ShareRequest:
    """A receiver's request for a cache.

    Raises:
        InvalidRequestError: No context, or a method that moves no cache.
    """
    method = known(METHODS, message.method, "method")
    if method not in (Method.PREFIX, Method.FUSE):
        raise InvalidRequestError(f"Share moves a cache, which method {method} does not; ask for prefix or fuse")
    context = optional_input(message.context)
    if context is None:
        raise InvalidRequestError("the context is empty; there is nothing for the sharer to read")
    return ShareRequest(
        info=info_from_proto(message.info),
        method=method,
        context=context,
        codec=message.codec,
        expected_sharer=binding_from_proto(message.expected_sharer),
        receiver=binding_from_proto(message.receiver),
        fuser_fingerprint=message.fuser_fingerprint,
        head=tuple(message.head.ids),
        needed_layers=tuple(message.needed_layers),
        on_fault=known(FAULT_POLICIES, message.on_fault, "fault policy"),
        held_digests=tuple(message.held_digests),
        held_table_digests=tuple(message.held_table_digests),
        policy=message.policy,
        question=tuple(message.question.ids),
        first_slot_position=message.first_slot_position,
        alignment=known(ALIGNMENTS, message.alignment, "alignment"),
    )


def to_proto(request: ShareRequest) -> sharer_service_pb2.ShareRequest:
    """A receiver's request for a cache."""
    return sharer_service_pb2.ShareRequest(
        info=info_to_proto(request.info),
        method=METHOD_NUMBERS[request.method],
        context=input_to_proto(request.context),
        codec=request.codec,
        expected_sharer=binding_to_proto(request.expected_sharer),
        receiver=binding_to_proto(request.receiver),
        fuser_fingerprint=request.fuser_fingerprint,
        head=input_pb2.TokenIds(ids=request.head),
        needed_layers=request.needed_layers,
        on_fault=FAULT_POLICY_NUMBERS[request.on_fault],
        held_digests=request.held_digests,
        held_table_digests=request.held_table_digests,
        policy=request.policy,
        question=input_pb2.TokenIds(ids=request.question) if request.question else None,
        first_slot_position=request.first_slot_position,
        alignment=ALIGNMENT_NUMBERS[request.alignment],
    )
