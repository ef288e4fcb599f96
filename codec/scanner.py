"""Pieces of a spec's text that know where they stand, so that an error can point at one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kvwire.errors import SpecError


@dataclass(frozen=True)
class Piece:
    """``whole[start:end]``."""

    whole: str
    start: int
    end: int

    @classmethod
    def of(cls, whole: str) -> "Piece":
        """All of a text."""
        return cls(whole, 0, len(whole))

    @property
    def text(self) -> str:
        """The piece alone."""
        return self.whole[self.start : self.end]

    def split(self, mark: str) -> list["Piece"]:
        """Pieces between marks; at least one, possibly empty."""
        pieces, start = [], self.start
        for text in self.text.split(mark):
            pieces.append(Piece(self.whole, start, start + len(text)))
            start += len(text) + len(mark)
        return pieces

    def divide(self, mark: str) -> tuple["Piece", "Piece | None"]:
        """What stands before the first mark, and after it if there is one."""
        first = self.split(mark)[0]
        return first, None if first.end == self.end else Piece(self.whole, first.end + len(mark), self.end)

    def pairs(self) -> dict[str, str]:
        """``key=value`` texts between commas, each key once."""
        found: dict[str, str] = {}
        for item in self.split(","):
            key, value = item.divide("=")
            if value is None or not key.text or not value.text:
                raise item.refuse("key=value expected")
            if key.text in found:
                raise item.refuse(f"{key.text!r} is given twice")
            found[key.text] = value.text
        return found

    def refuse(self, why: str) -> SpecError:
        """The error that points here."""
        return SpecError(f"codec spec {self.whole!r}, at {self.start}, {self.text!r}: {why}")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Point a SpecError from inside here."""
        try:
            yield
        except SpecError as error:
            raise self.refuse(str(error)) from None
