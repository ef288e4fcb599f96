"""Reads a context in tokens: the sharer's alone, or the receiver's too, each of which names a sharer's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fuser.align import align
from kvwire.engine.engine import Engine
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.requests import Text
from kvwire.stream import ShareRequest

#: Fast tokenizers of transformers by the SHA-256 of their files.
Tokenizers = Mapping[bytes, Any]


@dataclass(frozen=True)
class ContextTokens:
    """A context in the sharer's tokens, and the slots it fills; ``deltas`` as the header has them."""

    tokens: tuple[int, ...]
    slots: int
    deltas: tuple[int, ...] = ()


def read_context(engine: Engine, tokenizers: Tokenizers, request: ShareRequest) -> ContextTokens:
    """The context of a request, as it asks for it.

    Raises:
        BindingError: The receiver's tokenizer is not held here.
        InvalidRequestError: No tokens, or a context that cannot be aligned.
    """
    read = _aligned(engine, tokenizers, request) if request.align else _as_it_is(engine, request)
    if not read.tokens or not read.slots:
        raise InvalidRequestError("the context has no tokens; there is nothing for the sharer to read")
    return read


def _as_it_is(engine: Engine, request: ShareRequest) -> ContextTokens:
    tokens = engine.prompts.context(request.context)
    return ContextTokens(tokens, len(tokens))


def _aligned(engine: Engine, tokenizers: Tokenizers, request: ShareRequest) -> ContextTokens:
    if not isinstance(request.context, Text):
        raise InvalidRequestError("between models with tokenizers of their own a context is text; send it as text")
    receiver = request.receiver
    if receiver.tokenizer_fingerprint not in tokenizers:
        raise BindingError(
            f"this sharer does not hold the tokenizer of receiver {receiver.id}, which aligns their tokens; start it "
            "with: --tokenizers MODEL"
        )
    found = align(tokenizers[receiver.tokenizer_fingerprint], engine.prompts.tokenizer, request.context.text)
    return ContextTokens(found.sharer.ids, len(found.sources), deltas(found.sources, len(found.sharer.ids)))


def deltas(sources: Sequence[int], tokens: int) -> tuple[int, ...]:
    """Steps from each slot's source token to the next one's, the first from -1; none if slots are the tokens."""
    if list(sources) == list(range(tokens)):
        return ()
    return tuple(after - before for before, after in pairwise((-1, *sources)))
