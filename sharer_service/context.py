"""Reads a context in tokens: the sharer's alone, or the receiver's too, each of which names a sharer's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from fuser.align import align
from fuser.align_official import Pick, first, longest
from fuser.align_official_chat import sharer_chat
from kvwire.engine.engine import Engine
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.requests import AlignmentRule, Messages, Method, Text, TokenIds
from kvwire.stream import ShareRequest

#: Fast tokenizers of transformers by the SHA-256 of their files.
Tokenizers = Mapping[bytes, Any]


@dataclass(frozen=True)
class ContextTokens:
    """What the sharer reads: ``head``, which stays here, then ``tokens``, which fill so many slots; all its own.

    ``deltas`` as the header has them.
    """

    head: tuple[int, ...]
    tokens: tuple[int, ...]
    slots: int
    deltas: tuple[int, ...] = ()


def read_context(engine: Engine, tokenizers: Tokenizers, request: ShareRequest) -> ContextTokens:
    """The context of a request, as it asks for it.

    Raises:
        BindingError: The receiver's tokenizer is not held here.
        InvalidRequestError: No tokens, or a context that cannot be aligned.
    """
    read = _RULES[request.alignment](engine, tokenizers, request)
    if not read.tokens or not read.slots:
        raise InvalidRequestError("the context has no tokens; there is nothing for the sharer to read")
    return read


def _as_it_is(engine: Engine, _: Tokenizers, request: ShareRequest) -> ContextTokens:
    tokens = engine.prompts.context(request.context)
    return ContextTokens(_head(engine, request), tokens, len(tokens))


def _by_characters(engine: Engine, tokenizers: Tokenizers, request: ShareRequest) -> ContextTokens:
    if not isinstance(request.context, Text):
        raise InvalidRequestError("between models with tokenizers of their own a context is text; send it as text")
    found = align(_receivers(tokenizers, request), engine.prompts.tokenizer, request.context.text)
    head, ids = _head(engine, request), found.sharer.ids
    return ContextTokens(head, ids, len(found.sources), deltas(found.sources, len(ids)))


def _by_messages(pick: Pick, engine: Engine, tokenizers: Tokenizers, request: ShareRequest) -> ContextTokens:
    """From the first token of content to the last one of any; templates before and behind are not sent."""
    if request.method is not Method.FUSE or not isinstance(request.context, Messages):
        raise InvalidRequestError("tokens of this fuser are aligned in chats of method fuse; send messages")
    messages = [{"role": each.role, "content": each.content} for each in request.context.messages]
    found = sharer_chat(_receivers(tokenizers, request), engine.prompts.tokenizer, messages, pick)
    begin, end = found.content[0], found.content[-1] + 1
    tokens = found.ids[begin:end]
    sources = [index - begin for index in found.content]
    return ContextTokens(found.ids[:begin], tokens, len(sources), deltas(sources, len(tokens)))


_RULES: dict[AlignmentRule, Callable[[Engine, Tokenizers, ShareRequest], ContextTokens]] = {
    AlignmentRule.NONE: _as_it_is,
    AlignmentRule.CHARACTERS: _by_characters,
    AlignmentRule.FIRST: partial(_by_messages, first),
    AlignmentRule.LONGEST: partial(_by_messages, longest),
}


def _head(engine: Engine, request: ShareRequest) -> tuple[int, ...]:
    return engine.prompts.context(TokenIds(request.head))


def _receivers(tokenizers: Tokenizers, request: ShareRequest) -> Any:
    receiver = request.receiver
    if receiver.tokenizer_fingerprint not in tokenizers:
        raise BindingError(
            f"this sharer does not hold the tokenizer of receiver {receiver.id}, which aligns their tokens; start it "
            "with: --tokenizers MODEL"
        )
    return tokenizers[receiver.tokenizer_fingerprint]


def deltas(sources: Sequence[int], tokens: int) -> tuple[int, ...]:
    """Steps from each slot's source token to the next one's, the first from -1; none if slots are the tokens."""
    if list(sources) == list(range(tokens)):
        return ()
    return tuple(after - before for before, after in pairwise((-1, *sources)))
