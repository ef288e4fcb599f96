"""A base and its parameters as a spec names them: ``int8:per=head``."""

import re
from dataclasses import dataclass

from codec import parameters, registry
from codec.scanner import Piece
from kvwire.errors import SpecError

_VALUE = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True, order=True)
class Base:
    """Name and canonical parameter texts; :meth:`parse` makes them canonical."""

    name: str
    params: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, piece: Piece) -> "Base":
        """Read ``name[:key=value,...]``.

        Raises:
            SpecError: Unknown name, or a parameter the base does not take.
        """
        name, rest = piece.divide(":")
        if name.text not in registry.BASES:
            raise name.refuse(f"unknown base; known: {', '.join(registry.BASES)}")
        given = rest.pairs() if rest is not None else {}
        with piece.blamed():
            if name.text in registry.QUANTIZERS:
                return cls(name.text, parameters.texts(registry.resolve(name.text, given)))
            return cls(name.text, _reserved(given))

    def __str__(self) -> str:
        params = ",".join(f"{key}={value}" for key, value in self.params)
        return f"{self.name}:{params}" if params else self.name


def _reserved(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Parameters of a base without a quantizer: nobody knows its defaults yet, so all are kept, by name."""
    for key, value in given.items():
        if not (_VALUE.fullmatch(key) and _VALUE.fullmatch(value)):
            raise SpecError(f"{key}={value}: only a-z, 0-9, '_', '.' and '-' may stand here")
    return tuple(sorted(given.items()))
