"""Bodies of requests, read into requests of kvwire. What a body says is never repeated in an error."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, from_json

from http_service.answer import Asked
from http_service.unsupported import ParameterError, supported
from kvwire.errors import InvalidRequestError
from kvwire.requests import (
    ChatMessage,
    Exchange,
    FaultPolicy,
    FurtherSharer,
    FusionOrder,
    GenerateRequest,
    Input,
    Messages,
    Method,
    RelayMode,
    RequestInfo,
    Text,
    TokenIds,
)

# OpenAI's own default of completions. In chat it has none; an answer of so many tokens takes the least room a receiver
# gives an answer (docs/operations.md, Memory).
_COMPLETION_TOKENS = 16
_CHAT_TOKENS = 256


class _Part(BaseModel):
    """Unknown names are refused: what nobody reads was meant to change something."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _TextPart(_Part):
    type: Literal["text"]
    text: str


def _without_nothing(said: Any) -> Any:
    """Clients send a message back with every field it had, many of them empty."""
    return {key: value for key, value in said.items() if value not in (None, [])} if isinstance(said, Mapping) else said


class _Message(_Part):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_TextPart]

    def value(self) -> ChatMessage:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        # What OpenAI's newer models call developer; chat templates know the old name.
        return ChatMessage("system" if self.role == "developer" else self.role, text)


_Messages = list[Annotated[_Message, BeforeValidator(_without_nothing)]]
#: Numbers as the protos hold them.
_Uint32 = Annotated[int, Field(ge=0, lt=2**32)]
_AtLeastOne = Annotated[int, Field(ge=1, lt=2**32)]


class _Kvwire(_Part):
    """kvwire's options, by the names of :class:`kvwire.requests.Exchange`."""

    context: str | list[_Uint32] | _Messages = ""
    deadline_ms: _Uint32 = 0
    method: Method | None = None
    sharer: str = Exchange.sharer
    codec: str = Exchange.codec
    fuser: str = Exchange.fuser
    on_fault: FaultPolicy = Exchange.on_fault
    relay: RelayMode = Exchange.relay
    relay_max_tokens: _Uint32 = Exchange.relay_max_tokens
    policy: str = Exchange.policy
    further: tuple[FurtherSharer, ...] = Exchange.further
    order: FusionOrder = Exchange.order
    relay_instruction: str = Exchange.relay_instruction

    def exchange(self) -> Exchange:
        """Without a method, a context is the sharer's to read, and without a context the receiver answers alone."""
        method = self.method or (Method.PREFIX if self.context else Method.RECEIVER_ONLY)
        said = {name: getattr(self, name) for name in Exchange.__dataclass_fields__}
        return Exchange(**said | {"method": method})


class _StreamOptions(_Part):
    include_usage: bool = False
    # vLLM's, which load generators send: the usage so far in every chunk. The prompt's is known at the end alone.
    continuous_usage_stats: bool = False


class _Body(_Part):
    model: str = ""
    max_tokens: _AtLeastOne | None = None
    stop: str | tuple[str, ...] = ()
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    user: str = ""
    ignore_eos: bool = False
    kvwire: _Kvwire = _Kvwire()

    def asked(self, request_id: str, prompt: Input, max_new_tokens: int, logprobs: int | None) -> Asked:
        generate = GenerateRequest(
            prompt=prompt,
            context=_input(self.kvwire.context) if self.kvwire.context else None,
            exchange=self.kvwire.exchange(),
            max_new_tokens=max_new_tokens,
            ignore_eos=self.ignore_eos,
            info=RequestInfo(request_id, self.user, self.kvwire.deadline_ms),
            stop=(self.stop,) if isinstance(self.stop, str) else self.stop,
        )
        return Asked(generate, self.model, self.stream, self.stream_options.include_usage, logprobs)


def _one_prompt(said: Any) -> Any:
    """OpenAI takes a list of prompts too; a list of one is what some clients send."""
    match said:
        case [str() | list() as prompt]:
            return prompt
        case [str() | list(), *_]:
            raise PydanticCustomError("prompts", "one prompt is taken for a request; send a request for each")
        case _:
            return said


class _Completion(_Body):
    prompt: Annotated[str | list[_Uint32], BeforeValidator(_one_prompt)]
    logprobs: Annotated[int, Field(ge=0, le=1)] | None = None


class _Chat(_Body):
    messages: Annotated[_Messages, Field(min_length=1)]
    max_completion_tokens: _AtLeastOne | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=1)] = 0


def read_completion(body: bytes, request_id: str) -> Asked:
    """What ``/v1/completions`` was asked.

    Raises:
        InvalidRequestError: It cannot be read, or asks for what there is not.
    """
    read = _read(_Completion, body)
    return read.asked(request_id, _input(read.prompt), read.max_tokens or _COMPLETION_TOKENS, read.logprobs)


def read_chat(body: bytes, request_id: str) -> Asked:
    """What ``/v1/chat/completions`` was asked.

    Raises:
        InvalidRequestError: It cannot be read, or asks for what there is not.
    """
    read = _read(_Chat, body)
    max_new_tokens = read.max_completion_tokens or read.max_tokens or _CHAT_TOKENS
    logprobs = read.top_logprobs if read.logprobs else None
    return read.asked(request_id, _input(read.messages), max_new_tokens, logprobs)


B = TypeVar("B", bound=_Body)


def _read(kind: type[B], body: bytes) -> B:
    try:
        said = from_json(body, allow_inf_nan=False)
    except ValueError:  # whose words could quote the body
        raise InvalidRequestError("the body is not JSON; send one object") from None
    if not isinstance(said, dict):
        raise InvalidRequestError("the body is JSON but no object; send one object")
    try:
        return kind.model_validate(supported(said))
    except ValidationError as error:
        # Where several kinds of value would do, each of them failed; what came furthest was meant.
        nearest = max(error.errors(include_input=False, include_url=False), key=lambda one: len(one["loc"]))
        raise ParameterError(_name(nearest["loc"]), nearest["msg"]) from None


def _name(where: tuple[int | str, ...]) -> str:
    """A parameter's name, without the kinds of value among which pydantic tried to find a fitting one."""
    return ".".join(str(part) for part in where if part != "str" and "[" not in str(part))


def _input(said: str | list[int] | list[_Message]) -> Input:
    if isinstance(said, str):
        return Text(said)
    messages = tuple(one.value() for one in said if isinstance(one, _Message))
    return Messages(messages) if messages else TokenIds(tuple(one for one in said if isinstance(one, int)))
