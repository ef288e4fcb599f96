"""An answer's text up to the first stop text, which is not shown."""

from collections.abc import Sequence


class UntilStop:
    """Lets text through as it comes, but for what may turn out to be the beginning of a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.met = False

    def take(self, piece: str) -> str:
        """What can be shown now that another piece came."""
        if self.met:
            return ""
        self._held += piece
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        self.met = bool(found)
        shown = min(found) if found else len(self._held) - self._begun()
        text, self._held = self._held[:shown], "" if found else self._held[shown:]
        return text

    def rest(self) -> str:
        """What was held back and began no stop text after all."""
        text, self._held = self._held, ""
        return text

    def _begun(self) -> int:
        """Characters at the end with which a stop text begins."""
        longest = min(len(self._held), max(map(len, self._stops), default=1) - 1)
        lengths = range(longest, 0, -1)
        return next((n for n in lengths if any(stop.startswith(self._held[-n:]) for stop in self._stops)), 0)
