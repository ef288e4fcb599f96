"""Answers in the form of ``/v1/chat/completions``."""

from typing import Any

from http_service.answer import End, Piece
from http_service.forms import Fields, Head, tokens_of, told, usage


class Chat:
    """Objects of type ``chat.completion``, and ``chat.completion.chunk`` in streams."""

    def whole(self, head: Head, pieces: list[Piece], end: End) -> Fields:
        """The answer in one."""
        message = {"role": "assistant", "content": "".join(piece.text for piece in pieces), "refusal": None}
        choice = _choice("message", message, _logprobs(head, pieces), end.finish_reason)
        return head.part("chatcmpl", "chat.completion", choices=[choice], usage=usage(end.report)) | told(end.report)

    def opening(self, head: Head) -> list[Fields]:
        """Who speaks."""
        return [_chunk(head, choices=[_choice("delta", {"role": "assistant", "content": ""})])]

    def piece(self, head: Head, piece: Piece) -> Fields:
        """Its text."""
        return _chunk(head, choices=[_choice("delta", {"content": piece.text}, _logprobs(head, [piece]))])

    def ending(self, head: Head, end: End) -> Fields:
        """Why it ended, and the report."""
        return _chunk(head, choices=[_choice("delta", {}, None, end.finish_reason)]) | told(end.report)

    def usage(self, head: Head, end: End) -> Fields:
        """The usage alone."""
        return _chunk(head, choices=[], usage=usage(end.report))


def _chunk(head: Head, **fields: Any) -> Fields:
    return head.part("chatcmpl", "chat.completion.chunk", **fields)


def _choice(holder: str, said: Fields, logprobs: Fields | None = None, finish_reason: str | None = None) -> Fields:
    return {"index": 0, holder: said, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(head: Head, pieces: list[Piece]) -> Fields | None:
    """Decoding is greedy: the most likely token is the one that was taken."""
    if head.logprobs is None:
        return None
    shown = [
        {"token": token.text, "logprob": token.logprob, "bytes": list(token.text.encode())}
        for token in tokens_of(pieces)
    ]
    return {"content": [one | {"top_logprobs": [one][: head.logprobs]} for one in shown], "refusal": None}
