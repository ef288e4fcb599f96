"""Requests: protobuf to values and back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kvwire.callers.door import on_behalf_of
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.requests import (
    MINOR_VERSION,
    PROTOCOL_VERSION,
    ChatMessage,
    Exchange,
    FurtherSharer,
    GenerateRequest,
    Input,
    Messages,
    RequestInfo,
    ScoreRequest,
    Text,
    TokenIds,
)
from kvwire.rpc.enums import (
    FAULT_POLICIES,
    FAULT_POLICY_NUMBERS,
    FUSION_ORDER_NUMBERS,
    FUSION_ORDERS,
    METHOD_NUMBERS,
    METHODS,
    RELAY_MODE_NUMBERS,
    RELAY_MODES,
    known,
)
from kvwire.v1 import exchange_pb2, input_pb2, model_service_pb2

_MAX_ID_CHARACTERS = 64

# Each is looked for after every token; who needs more than these means something else.
_MAX_STOPS = 16
_MAX_STOP_CHARACTERS = 256


def input_from_proto(message: input_pb2.Input, what: str) -> Input:
    """One input.

    Raises:
        InvalidRequestError: No form is set.
    """
    match message.WhichOneof("form"):
        case "text":
            return Text(message.text)
        case "messages":
            return Messages(tuple(ChatMessage(m.role, m.content) for m in message.messages.messages))
        case "token_ids":
            return TokenIds(tuple(message.token_ids.ids))
        case _:
            raise InvalidRequestError(f"{what} is empty; set text, messages or token_ids")


def optional_input(message: input_pb2.Input) -> Input | None:
    """One input that may be left out; an empty one counts as left out."""
    if message.WhichOneof("form") is None:
        return None
    value = input_from_proto(message, "context")
    return None if value in (Text(""), Messages(()), TokenIds(())) else value


def input_to_proto(value: Input) -> input_pb2.Input:
    """One input."""
    match value:
        case Text(text):
            return input_pb2.Input(text=text)
        case Messages(messages):
            listed = [input_pb2.Message(role=m.role, content=m.content) for m in messages]
            return input_pb2.Input(messages=input_pb2.Messages(messages=listed))
        case TokenIds(ids):
            return input_pb2.Input(token_ids=input_pb2.TokenIds(ids=ids))


def info_from_proto(message: model_service_pb2.RequestInfo) -> RequestInfo:
    """Identity of a request, as the service that takes it sees it.

    Raises:
        BindingError: Another protocol version, or a minor one that is newer than this build's.
        InvalidRequestError: An id or caller that is too long.
    """
    if message.protocol_version != PROTOCOL_VERSION:
        raise BindingError(
            f"the request speaks protocol version {message.protocol_version}, this service speaks {PROTOCOL_VERSION}; "
            "use matching releases of kvwire"
        )
    if message.needed_minor_version > MINOR_VERSION:
        raise BindingError(
            f"the request needs protocol version {PROTOCOL_VERSION}.{message.needed_minor_version}, this service "
            f"speaks {PROTOCOL_VERSION}.{MINOR_VERSION}; update the service, or leave out what only the newer one knows"
        )
    for name, value in (("request_id", message.request_id), ("caller", message.caller)):
        if len(value) > _MAX_ID_CHARACTERS:
            raise InvalidRequestError(f"{name} has {len(value)} characters; at most {_MAX_ID_CHARACTERS} are taken")
    return RequestInfo(message.request_id, on_behalf_of(message.caller), message.deadline_ms)


def info_to_proto(info: RequestInfo) -> model_service_pb2.RequestInfo:
    """Identity of a request, stamped with this build's protocol version."""
    return model_service_pb2.RequestInfo(
        protocol_version=PROTOCOL_VERSION,
        request_id=info.request_id,
        caller=info.caller,
        deadline_ms=info.deadline_ms,
    )


def exchange_from_proto(message: exchange_pb2.Exchange) -> Exchange:
    """How the models talk.

    Raises:
        InvalidRequestError: An unknown method, policy or relay mode.
    """
    return Exchange(
        method=known(METHODS, message.method, "method"),
        sharer=message.sharer,
        codec=message.codec,
        fuser=message.fuser or "identity",
        on_fault=known(FAULT_POLICIES, message.on_fault, "fault policy"),
        relay=known(RELAY_MODES, message.relay, "relay mode"),
        relay_max_tokens=message.relay_max_tokens,
        policy=message.policy,
        further=tuple(FurtherSharer(one.sharer, one.fuser) for one in message.further),
        order=known(FUSION_ORDERS, message.order, "fusion order"),
        relay_instruction=message.relay_instruction,
    )


def exchange_to_proto(exchange: Exchange) -> exchange_pb2.Exchange:
    """How the models talk."""
    return exchange_pb2.Exchange(
        method=METHOD_NUMBERS[exchange.method],
        sharer=exchange.sharer,
        codec=exchange.codec,
        fuser=exchange.fuser,
        on_fault=FAULT_POLICY_NUMBERS[exchange.on_fault],
        relay=RELAY_MODE_NUMBERS[exchange.relay],
        relay_max_tokens=exchange.relay_max_tokens,
        policy=exchange.policy,
        further=[exchange_pb2.FurtherSharer(sharer=one.sharer, fuser=one.fuser) for one in exchange.further],
        order=FUSION_ORDER_NUMBERS[exchange.order],
        relay_instruction=exchange.relay_instruction,
    )


def generate_from_proto(message: model_service_pb2.GenerateRequest) -> GenerateRequest:
    """A generation request.

    Raises:
        InvalidRequestError: Something in it is missing or unknown.
    """
    if message.max_new_tokens < 1:
        raise InvalidRequestError("max_new_tokens is 0; ask for at least 1 token")
    return GenerateRequest(
        prompt=input_from_proto(message.prompt, "prompt"),
        context=optional_input(message.context),
        exchange=exchange_from_proto(message.exchange),
        max_new_tokens=message.max_new_tokens,
        ignore_eos=message.ignore_eos,
        info=info_from_proto(message.info),
        stop=_stops(message.stop),
    )


@contextmanager
def _that_fits() -> Iterator[None]:
    """Around what makes a message of a caller's values."""
    try:
        yield
    except (TypeError, ValueError) as error:  # protobuf's words: a number out of range, half a character of text
        raise InvalidRequestError(f"the request cannot be sent: {error}; correct that value") from error


@_that_fits()
def generate_to_proto(request: GenerateRequest) -> model_service_pb2.GenerateRequest:
    """A generation request.

    Raises:
        InvalidRequestError: A number or a text that the protocol has no room for.
    """
    return model_service_pb2.GenerateRequest(
        info=info_to_proto(request.info),
        context=input_to_proto(request.context) if request.context is not None else None,
        prompt=input_to_proto(request.prompt),
        exchange=exchange_to_proto(request.exchange),
        max_new_tokens=request.max_new_tokens,
        ignore_eos=request.ignore_eos,
        stop=request.stop,
    )


def _stops(stops: Sequence[str]) -> tuple[str, ...]:
    if len(stops) > _MAX_STOPS:
        raise InvalidRequestError(f"{len(stops)} stop texts; at most {_MAX_STOPS} are taken")
    if any(not 0 < len(each) <= _MAX_STOP_CHARACTERS for each in stops):
        raise InvalidRequestError(f"a stop text has no characters, or more than {_MAX_STOP_CHARACTERS}")
    return tuple(stops)


def score_from_proto(message: model_service_pb2.ScoreRequest) -> ScoreRequest:
    """A scoring request.

    Raises:
        InvalidRequestError: Something in it is missing or unknown.
    """
    if not message.continuations:
        raise InvalidRequestError("there are no continuations; send at least one to score")
    return ScoreRequest(
        prompt=input_from_proto(message.prompt, "prompt"),
        continuations=tuple(input_from_proto(c, f"continuation {i}") for i, c in enumerate(message.continuations)),
        context=optional_input(message.context),
        exchange=exchange_from_proto(message.exchange),
        info=info_from_proto(message.info),
        keep_distributions=message.keep_distributions,
        compare_with=message.compare_with,
    )


@_that_fits()
def score_to_proto(request: ScoreRequest) -> model_service_pb2.ScoreRequest:
    """A scoring request.

    Raises:
        InvalidRequestError: As of a generation.
    """
    return model_service_pb2.ScoreRequest(
        info=info_to_proto(request.info),
        context=input_to_proto(request.context) if request.context is not None else None,
        prompt=input_to_proto(request.prompt),
        exchange=exchange_to_proto(request.exchange),
        continuations=[input_to_proto(c) for c in request.continuations],
        keep_distributions=request.keep_distributions,
        compare_with=request.compare_with,
    )
