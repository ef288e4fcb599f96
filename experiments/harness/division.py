"""Where a request of lm-eval is divided, and how its two parts are sent.

lm-eval knows one text before the continuation, kvwire two: the context, which only the sharer reads, and the prompt.
The tokens of the whole text are divided, never the text: a token across the border stays one token.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kvwire.errors import InvalidRequestError
from kvwire.requests import Exchange, Input, Method, Text, TokenIds

#: Given the text, None where only its tokens are known, and the tokens: how many of them are the context.
Cut = Callable[[str | None, Sequence[int]], int]
#: Given the tokens and how many of them are the context: context and prompt as they are sent.
Form = Callable[[Sequence[int], int], tuple[Input | None, Input]]

# What a cut byte sequence decodes to.
_BROKEN = "\ufffd"


class Division:
    """Divides requests of one exchange.

    prompt_tokens, separator: the rule; 0 and empty for that of the method.

    Raises:
        InvalidRequestError: Two rules, a rule for a method where both read the same, or a number below 1.
    """

    def __init__(self, exchange: Exchange, tokenizer: Any, prompt_tokens: int, separator: str) -> None:
        self._exchange = exchange
        self._bos = tokenizer.bos_token_id
        self._cut = _cut_of(exchange.method, tokenizer, prompt_tokens, separator)
        self._form = _form_of(exchange, tokenizer)

    @property
    def divides(self) -> bool:
        """Whether anything is context."""
        return self._cut is not None

    def divided(self, text: str | None, ids: Sequence[int]) -> tuple[Input | None, Input, Exchange]:
        """Context, prompt and exchange; with nothing before the prompt, the receiver answers alone.

        text: None for a piece of a text, of which there are tokens only.
        """
        if self._cut is None:
            return None, TokenIds(tuple(ids)), self._exchange
        cut = self._cut(text, ids)
        if cut <= len(_opening(self._bos, ids)):
            return None, TokenIds(tuple(ids)), replace(self._exchange, method=Method.RECEIVER_ONLY)
        return *self._form(ids, cut), self._exchange


def _before_last(prompt_tokens: int, _: str | None, ids: Sequence[int]) -> int:
    """The prompt is the last so many tokens."""
    return max(0, len(ids) - prompt_tokens)


def _behind_separator(tokenizer: Any, separator: str, text: str | None, ids: Sequence[int]) -> int:
    """The prompt begins behind the last separator, and is one token at least.

    Raises:
        InvalidRequestError: There is no separator.
    """
    if not text:
        return _before_last(1, text, ids)
    at = text.rfind(separator)
    if at < 0:
        raise InvalidRequestError(
            f"no separator {separator!r} in {text!r}: the sharer would have nothing to read; name another separator, "
            "or say how many tokens are the prompt with prompt_tokens"
        )
    ends: list[int] = [end for _, end in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]]
    cut_off = len(ends) - len(ids)  # what was too long is cut on the left
    inside = sum(end <= at + len(separator) for end in ends)
    return max(0, min(inside - cut_off, len(ids) - 1))


def _cut_of(method: Method, tokenizer: Any, prompt_tokens: int, separator: str) -> Cut | None:
    """Where requests are divided; None where the whole text is the prompt."""
    if prompt_tokens < 0 or (prompt_tokens and separator):
        raise InvalidRequestError(
            f"prompt_tokens={prompt_tokens}, separator={separator!r}: give one, and at least 1 token"
        )
    ruled = bool(prompt_tokens or separator)
    if method is Method.FUSE and ruled:
        raise InvalidRequestError(
            "in method fuse both models read the same text; leave prompt_tokens and separator out"
        )
    if separator:
        return partial(_behind_separator, tokenizer, separator)
    if ruled or method in (Method.PREFIX, Method.TEXT):
        return partial(_before_last, prompt_tokens or 1)
    return None


def _form_of(exchange: Exchange, tokenizer: Any) -> Form:
    """How the parts are sent: as tokens where both models read the same ones, else as text."""
    if exchange.method is Method.RECEIVER_ONLY:
        return partial(_prompt_alone, tokenizer.bos_token_id)
    if exchange.method is Method.TEXT or (exchange.method is Method.PREFIX and exchange.fuser != Exchange.fuser):
        return partial(_as_text, tokenizer)
    return _as_tokens


def _as_tokens(ids: Sequence[int], cut: int) -> tuple[Input, Input]:
    return TokenIds(tuple(ids[:cut])), TokenIds(tuple(ids[cut:]))


def _prompt_alone(bos: int | None, ids: Sequence[int], cut: int) -> tuple[None, Input]:
    """The receiver opens as it always does."""
    return None, TokenIds((*_opening(bos, ids), *ids[cut:]))


def _as_text(tokenizer: Any, ids: Sequence[int], cut: int) -> tuple[Input, Input]:
    """Without BOS, which each model puts before text itself."""
    begin = len(_opening(tokenizer.bos_token_id, ids))
    decode = partial(tokenizer.decode, clean_up_tokenization_spaces=False)
    context = decode(ids[begin:cut])
    while context.endswith(_BROKEN):  # a character of several tokens stays whole
        cut -= 1
        context = decode(ids[begin:cut])
    return Text(context), Text(decode(ids[cut:]))


def _opening(bos: int | None, ids: Sequence[int]) -> Sequence[int]:
    return ids[:1] if tuple(ids[:1]) == (bos,) else ()
