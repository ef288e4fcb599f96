"""A base and its parameters as a spec names them: ``int8:per=head``."""

from dataclasses import dataclass

from codec import parameters, registry
from codec.quantize.base import Quantizer
from codec.scanner import Piece


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
        if name.text not in registry.QUANTIZERS:
            raise name.refuse(f"unknown base; known: {', '.join(registry.QUANTIZERS)}")
        given = rest.pairs() if rest is not None else {}
        with piece.blamed():
            return cls(name.text, parameters.texts(registry.resolve(name.text, given)))

    def quantizer(self) -> Quantizer:
        """The quantizer that it names."""
        return registry.resolve(self.name, dict(self.params))

    def __str__(self) -> str:
        params = ",".join(f"{key}={value}" for key, value in self.params)
        return f"{self.name}:{params}" if params else self.name
