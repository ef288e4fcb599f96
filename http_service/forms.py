"""What both forms of an answer have in common, as OpenAI's API writes it, and kvwire's own field."""

from dataclasses import dataclass
from typing import Any, Protocol

from http_service.answer import End, Piece
from kvwire.facts import report_facts
from kvwire.report import Report, Token

Fields = dict[str, Any]


@dataclass(frozen=True)
class Head:
    """What every part of one answer says of it; ``created_s`` in seconds since 1970."""

    request_id: str
    created_s: int
    model: str
    logprobs: int | None

    def part(self, prefix: str, form: str, **fields: Any) -> Fields:
        """One object."""
        named = {"id": f"{prefix}-{self.request_id}", "object": form, "created": self.created_s, "model": self.model}
        return named | fields


class Form(Protocol):
    """One way of writing answers."""

    def whole(self, head: Head, pieces: list[Piece], end: End) -> Fields:
        """The answer in one."""
        ...

    def opening(self, head: Head) -> list[Fields]:
        """What a stream begins with."""
        ...

    def piece(self, head: Head, piece: Piece) -> Fields:
        """A piece of a stream."""
        ...

    def ending(self, head: Head, end: End) -> Fields:
        """The last piece of a stream that has a choice."""
        ...

    def usage(self, head: Head, end: End) -> Fields:
        """The piece of a stream that has none, only the usage."""
        ...


def usage(report: Report) -> Fields:
    """Tokens of everything the request sent, whichever model read it, and of the answer."""
    tokens = report.tokens
    prompt = tokens.head + tokens.context + tokens.prompt
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.generated,
        "total_tokens": prompt + tokens.generated,
    }


def told(report: Report) -> Fields:
    """The field ``kvwire``: which path, codec, bytes, stages and times."""
    return {"kvwire": report_facts(report)}


def tokens_of(pieces: list[Piece]) -> list[Token]:
    """The tokens that came with pieces."""
    return [piece.token for piece in pieces if piece.token is not None]
