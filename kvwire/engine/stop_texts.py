"""Texts that end an answer, looked for as it is written."""

from collections.abc import Sequence


class StopTexts:
    """Tells when one of some texts is complete in what came so far, wherever it was cut into pieces."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._before = max(map(len, texts), default=0) - 1  # characters that the next piece may complete
        self._tail = ""

    def completed_by(self, piece: str) -> bool:
        """Whether the next piece of the answer completes one of them."""
        seen = self._tail + piece
        self._tail = seen[-self._before :] if self._before > 0 else ""
        return any(text in seen for text in self._texts)
