"""Turns inputs into tokens: head, context and prompt, tokenized apart and never merged across their borders."""

from dataclasses import dataclass
from typing import Any

from kvwire.chat_template import render
from kvwire.errors import InvalidRequestError
from kvwire.requests import Input, Messages, Text, TokenIds

# Stands for the first user message while a chat template is rendered; no text contains it.
_HOLE = "\ue000kvwire\ue001"


@dataclass(frozen=True)
class Tokens:
    """A request in one model's tokens.

    ``head`` is what the reader itself opens with (BOS, template opening up to the first user message), ``context``
    what the sharer knows, ``prompt`` all the rest.
    """

    head: tuple[int, ...]
    context: tuple[int, ...]
    prompt: tuple[int, ...]

    @property
    def total(self) -> int:
        """Length of the whole sequence in tokens."""
        return len(self.head) + len(self.context) + len(self.prompt)


class PromptReader:
    """Tokenizes for one model."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    @property
    def tokenizer(self) -> Any:
        """The model's own, of transformers."""
        return self._tokenizer

    @property
    def has_chat_template(self) -> bool:
        """Whether messages can be rendered."""
        return bool(getattr(self._tokenizer, "chat_template", None))

    def read(self, context: Input | None, prompt: Input) -> Tokens:
        """Tokenize a request.

        Text gets the tokenizer's BOS, if it has one, as head. A messages prompt is rendered with the chat template:
        the head is its opening up to the first user message, and the context stands where that message begins.
        Context messages are rendered before the prompt, with only BOS as head, or none if the template writes it.
        Token ids are taken as they are.

        Raises:
            InvalidRequestError: An empty prompt, a token id outside the vocabulary, or messages that the model's chat
                template refuses, or for which it has none.
        """
        if isinstance(context, Messages):
            tokens = self._after_messages(context, prompt)
        elif isinstance(prompt, Messages):
            opening, rest = self._template_parts(prompt)
            tokens = Tokens(self.plain(opening), self._piece(context), self.plain(rest))
        else:
            head = () if isinstance(prompt, TokenIds) else self.bos()
            tokens = Tokens(head, self._piece(context), self._piece(prompt))
        if not tokens.prompt:
            raise InvalidRequestError("the prompt is empty; send at least one token")
        return tokens

    def context(self, piece: Input) -> tuple[int, ...]:
        """Tokens of a context by itself, as :meth:`read` puts them between a head and a prompt.

        Raises:
            InvalidRequestError: A token id outside the vocabulary, or messages that the model's chat template refuses,
                or for which it has none.
        """
        return self._piece(piece)

    def continuation(self, piece: Input) -> tuple[int, ...]:
        """Tokenize one continuation to be scored.

        Raises:
            InvalidRequestError: It is empty, or given as messages.
        """
        if isinstance(piece, Messages):
            raise InvalidRequestError("a continuation is text or token ids; messages have a template around them")
        tokens = self._piece(piece)
        if not tokens:
            raise InvalidRequestError("a continuation is empty; there is nothing to score")
        return tokens

    def bos(self) -> tuple[int, ...]:
        """What the tokenizer puts before any text: BOS, or nothing."""
        return tuple(self._tokenizer("").input_ids)

    def plain(self, text: str) -> tuple[int, ...]:
        """Tokens of a text with nothing added."""
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def text(self, tokens: tuple[int, ...] | list[int]) -> str:
        """The text of tokens, without special tokens."""
        decoded: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return decoded

    def _piece(self, piece: Input | None) -> tuple[int, ...]:
        match piece:
            case None:
                return ()
            case Text(text):
                return self.plain(text)
            case TokenIds(ids):
                self._check_ids(ids)
                return ids
            case Messages():
                return self.plain(self._render(piece, answer=False))

    def _after_messages(self, context: Messages, prompt: Input) -> Tokens:
        if not isinstance(prompt, Messages):
            bos, tokens = self.bos(), self._piece(context)
            return Tokens(() if tokens[: len(bos)] == bos else bos, tokens, self._piece(prompt))
        before = self._render(context, answer=False)
        whole = self._render(Messages(context.messages + prompt.messages), answer=True)
        if not whole.startswith(before):
            raise InvalidRequestError(
                "this model's chat template renders the context messages differently once the prompt follows; "
                "send the context as text"
            )
        return Tokens((), self.plain(before), self.plain(whole[len(before) :]))

    def _template_parts(self, prompt: Messages) -> tuple[str, str]:
        """The rendered prompt, split where its first user message begins."""
        first_user = next((i for i, m in enumerate(prompt.messages) if m.role == "user"), None)
        if first_user is None:
            raise InvalidRequestError("the prompt has no user message; a chat prompt needs one")
        marked = [
            {"role": m.role, "content": _HOLE if i == first_user else m.content} for i, m in enumerate(prompt.messages)
        ]
        opening, found, rest = self._apply_template(marked, answer=True).partition(_HOLE)
        if not found:
            raise InvalidRequestError(
                "this model's chat template drops the first user message; send the prompt as text"
            )
        return opening, prompt.messages[first_user].content + rest

    def _render(self, messages: Messages, *, answer: bool) -> str:
        return self._apply_template([{"role": m.role, "content": m.content} for m in messages.messages], answer=answer)

    def _apply_template(self, messages: list[dict[str, str]], *, answer: bool) -> str:
        if not self.has_chat_template:
            raise InvalidRequestError("this model has no chat template; send text instead of messages")
        if not messages:
            raise InvalidRequestError("the list of messages is empty; send at least one")
        return render(self._tokenizer, messages, answer=answer)

    def _check_ids(self, ids: tuple[int, ...]) -> None:
        for outside in (each for each in ids if not 0 <= each < self._vocabulary):
            raise InvalidRequestError(
                f"token id {outside} is outside the vocabulary of {self._vocabulary}; these ids are another model's"
            )
