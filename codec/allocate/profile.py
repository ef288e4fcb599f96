"""A model's sensitivity profile: how far predictions move when one part of the cache is coded and all else is exact.

A file of JSON, bound to the model's weights. Its format::

    {"format": "kvwire profile", "version": 1, "model": ID, "weights": SHA-256 in hex,
     "tokens": of each cache, "scored_tokens": behind it, "windows": how many texts,
     "codecs": [SPEC, ...],
     "divergences": [[[nats, ...], [nats, ...]], ...],
     "heads": [[[nats, ...], [nats, ...]], ...]}

``divergences`` has a row per layer: keys, then values; each a KL divergence per codec, mean over the scored tokens.
``heads`` has the same of each kv head alone, by the first codec only; it may be missing, and nothing is chosen by it.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.bases import Base
from codec.scanner import Piece
from kvwire.errors import BindingError, NotFoundError, SpecError

_FORMAT, _VERSION = "kvwire profile", 1

#: Keys' and values' divergences, one per codec each.
Halves = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Profile:
    """``divergences[layer][0 for keys, 1 for values][codec]``, KL(uncompressed || coded) in nats per token.

    ``weights``: SHA-256 of the model's. ``codecs``: bases in their canonical text, ``hadamard:bits=3``.
    ``heads[layer][0 for keys, 1 for values][kv head]``: of one head alone, by the first codec.
    """

    model: str
    weights: bytes
    tokens: int
    scored_tokens: int
    windows: int
    codecs: tuple[str, ...]
    divergences: tuple[Halves, ...]
    heads: tuple[Halves, ...] = ()

    @property
    def bases(self) -> tuple[Base, ...]:
        """The codecs, parsed.

        Raises:
            SpecError: One is not offered by this build.
        """
        return tuple(Base.parse(Piece.of(text)) for text in self.codecs)

    def to_json(self) -> str:
        """The file's text."""
        about = {"format": _FORMAT, "version": _VERSION, **asdict(self), "weights": self.weights.hex()}
        return json.dumps(about, indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a file.

        Raises:
            NotFoundError: It is not there.
            BindingError: It is no profile of this version.
        """
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there; make it with: kvwire codec profile MODEL") from None
        except UnicodeDecodeError as error:
            raise BindingError(f"{path} is no profile ({error}); make it again: kvwire codec profile") from None

    @classmethod
    def parse(cls, text: str, name: str) -> "Profile":
        """Check and take apart a file's text; ``name`` is for errors.

        Raises:
            BindingError: It is no profile of this version.
        """
        try:
            found = json.loads(text)
            said = found.pop("format"), found.pop("version")
            if said != (_FORMAT, _VERSION):
                raise BindingError(
                    f"{name} is {said[0]!r} version {said[1]}, this build reads {_VERSION}; make it again"
                )
            profile = cls(
                model=str(found["model"]),
                weights=bytes.fromhex(found["weights"]),
                tokens=int(found["tokens"]),
                scored_tokens=int(found["scored_tokens"]),
                windows=int(found["windows"]),
                codecs=tuple(map(str, found["codecs"])),
                divergences=_table(found["divergences"]),
                heads=_table(found.get("heads", ())),
            )
            bases = profile.bases
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, SpecError) as error:
            raise BindingError(f"{name} is no profile ({error!r}); make it again: kvwire codec profile") from None
        rows = (*profile.divergences, *profile.heads)
        numbers = [number for halves in rows for half in halves for number in half]
        counts = {len(half) for halves in profile.divergences for half in halves}
        if counts != {len(bases)} or not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise BindingError(f"{name} is damaged: not one divergence of 0 or more per codec; make it again")
        return profile


def _table(rows: Iterable[tuple[list[float], list[float]]]) -> tuple[Halves, ...]:
    return tuple((tuple(map(float, keys)), tuple(map(float, values))) for keys, values in rows)


def file_name(weights: bytes) -> str:
    """Where a folder of profiles keeps that of the model with these weights (SHA-256)."""
    return f"{weights.hex()[:16]}.json"
