"""Answers in the form of ``/v1/completions``."""

from typing import Any

from http_service.answer import End, Piece
from http_service.forms import Fields, Head, tokens_of, told, usage


class Completions:
    """Objects of type ``text_completion``, streamed or not."""

    def whole(self, head: Head, pieces: list[Piece], end: End) -> Fields:
        """The answer in one."""
        choice = _choice(head, pieces, end.finish_reason)
        return _part(head, choices=[choice], usage=usage(end.report)) | told(end.report)

    def opening(self, head: Head) -> list[Fields]:
        """Nothing."""
        del head
        return []

    def piece(self, head: Head, piece: Piece) -> Fields:
        """Its text."""
        return _part(head, choices=[_choice(head, [piece], None)])

    def ending(self, head: Head, end: End) -> Fields:
        """Why it ended, and the report."""
        return _part(head, choices=[_choice(head, [], end.finish_reason)]) | told(end.report)

    def usage(self, head: Head, end: End) -> Fields:
        """The usage alone."""
        return _part(head, choices=[], usage=usage(end.report))


def _part(head: Head, **fields: Any) -> Fields:
    return head.part("cmpl", "text_completion", **fields)


def _choice(head: Head, pieces: list[Piece], finish_reason: str | None) -> Fields:
    text = "".join(piece.text for piece in pieces)
    logprobs = _logprobs(pieces, head.logprobs) if head.logprobs is not None and pieces else None
    return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(pieces: list[Piece], shown: int) -> Fields:
    """Decoding is greedy: the most likely token is the one that was taken."""
    tokens = tokens_of(pieces)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{token.text: token.logprob} for token in tokens] if shown else None,
        "text_offset": [piece.offset for piece in pieces if piece.token is not None],
    }
