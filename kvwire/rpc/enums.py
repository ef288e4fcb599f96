"""Enumerations between protobuf and values, by name, so that an unknown number is refused and never guessed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from kvwire.errors import InvalidRequestError
from kvwire.requests import AlignmentRule, FaultPolicy, FusionOrder, Method, RelayMode
from kvwire.v1 import exchange_pb2, sharer_service_pb2

E = TypeVar("E", bound=StrEnum)

METHODS = {exchange_pb2.Method.Value(f"METHOD_{m.name}"): m for m in Method}
FAULT_POLICIES = {
    exchange_pb2.FAULT_POLICY_UNSPECIFIED: FaultPolicy.FAIL,
    **{exchange_pb2.FaultPolicy.Value(f"FAULT_POLICY_{p.name}"): p for p in FaultPolicy},
}
RELAY_MODES = {
    exchange_pb2.RELAY_MODE_UNSPECIFIED: RelayMode.WRITTEN,
    **{exchange_pb2.RelayMode.Value(f"RELAY_MODE_{m.name}"): m for m in RelayMode},
}
FUSION_ORDERS = {
    exchange_pb2.FUSION_ORDER_UNSPECIFIED: FusionOrder.SEQUENTIAL,
    **{exchange_pb2.FusionOrder.Value(f"FUSION_ORDER_{o.name}"): o for o in FusionOrder},
}
ALIGNMENTS = {
    sharer_service_pb2.ALIGNMENT_UNSPECIFIED: AlignmentRule.NONE,
    **{sharer_service_pb2.Alignment.Value(f"ALIGNMENT_{rule.name}"): rule for rule in AlignmentRule},
}
SIDES = {exchange_pb2.SIDE_SHARER: "sharer", exchange_pb2.SIDE_RECEIVER: "receiver"}

METHOD_NUMBERS = {value: number for number, value in METHODS.items()}
FAULT_POLICY_NUMBERS = {value: number for number, value in FAULT_POLICIES.items()}
RELAY_MODE_NUMBERS = {value: number for number, value in RELAY_MODES.items()}
FUSION_ORDER_NUMBERS = {value: number for number, value in FUSION_ORDERS.items()}
ALIGNMENT_NUMBERS = {value: number for number, value in ALIGNMENTS.items()}
SIDE_NUMBERS = {value: number for number, value in SIDES.items()}


def known(table: Mapping[Any, E], number: int, what: str) -> E:
    """Look an enumeration number up.

    Raises:
        InvalidRequestError: The number is unset or from a newer protocol.
    """
    value = table.get(number)
    if value is None:
        names = ", ".join(table.values())
        raise InvalidRequestError(f"{what} {number} is not one this service knows; known: {names}")
    return value
