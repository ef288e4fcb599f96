"""The codec grammar: a frozen value with one canonical string.

::

    spec    = base { "+" option }
    base    = name [ ":" key "=" value { "," key "=" value } ]
    name    = fp32 | fp16 | bf16 | fp8 | int8 | int4 | nf4 | kivi | hadamard | rd | omit       omit in a part only
    option  = "keep=" ratio [ ",by=" selector ] [ ",scope=" (layer|head) ] [ ",sinks=" count ]
            | "rope=" (pre|post) | "entropy=" (none|zstd|ans) | "mix=" part { "/" part } | "of=" (cache|latents)
    part    = range "@" base                 what no part covers takes the leading base; parts do not overlap
    range   = [ k | v ] [ "L" a "-" b ] [ "H" a "-" b ]          at least one of them; ends are inclusive

Printing omits what is at its default and fixes the order, so two specs are equal exactly when their strings are. No
character needs shell quoting. What parses is not yet offered: ``codec.codec.Codec`` refuses what this build cannot run.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar, get_args

from codec import registry
from codec.bases import Base
from codec.mix import Part, parse_mix
from codec.parameters import build
from codec.prune.keep import Keep
from codec.quantize.omit import OMIT
from codec.scanner import Piece
from kvwire.errors import SpecError

#: Far beyond any spec in use; bounds the work on a hostile one.
MAX_CHARACTERS = 512

_OPTIONS = ("keep", "rope", "entropy", "mix", "of")

Entropy = Literal["none", "zstd", "ans"]
_Choice = TypeVar("_Choice", bound=str)


class Payload(StrEnum):
    """What is encoded: the sharer's keys and values, or what a fuser's first half makes of them."""

    CACHE = "cache"
    LATENTS = "latents"


class RopePhase(StrEnum):
    """Whether keys are before or after rotary position embedding."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True)
class CodecSpec:
    """How a cache was, or is to be, encoded."""

    base: Base
    keep: Keep | None = None
    rope: RopePhase = RopePhase.POST
    entropy: Entropy = "none"
    mix: tuple[Part, ...] = ()
    of: Payload = Payload.CACHE

    @classmethod
    def parse(cls, text: str) -> "CodecSpec":
        """Read a spec in any spelling; ``str`` of the result is the canonical one.

        Raises:
            SpecError: Saying where, what stands there, and what is allowed.
        """
        if len(text) > MAX_CHARACTERS:
            raise SpecError(f"a codec spec has at most {MAX_CHARACTERS} characters, this one {len(text)}")
        first, *options = Piece.of(text).split("+")
        base = Base.parse(first)
        if base.name == OMIT:
            raise first.refuse("leaves everything out; it can only stand in mix=")
        given: dict[str, Piece] = {}
        for option in options:
            name, value = option.divide("=")
            if name.text not in _OPTIONS:
                raise option.refuse(f"unknown option; known: {', '.join(f'{known}=' for known in _OPTIONS)}")
            if value is None:
                raise option.refuse(f"{name.text}=... expected")
            if name.text in given:
                raise option.refuse(f"option {name.text!r} is given twice")
            given[name.text] = value
        mix = parse_mix(given["mix"]) if "mix" in given else ()
        spec = cls(
            base=base,
            keep=_parse_keep(given["keep"]) if "keep" in given else None,
            rope=RopePhase(_one_of(given["rope"], tuple(RopePhase))) if "rope" in given else _default_rope(base),
            entropy=_one_of(given["entropy"], get_args(Entropy)) if "entropy" in given else cls.entropy,
            mix=tuple(part for part in mix if part.base != base),
            of=Payload(_one_of(given["of"], tuple(Payload))) if "of" in given else cls.of,
        )
        if (written := len(str(spec))) > MAX_CHARACTERS:  # 1e-5 is written as 1e-05, which a frame must have room for
            raise SpecError(f"a codec spec has at most {MAX_CHARACTERS} characters, {text!r} has {written} as written")
        return spec

    def __str__(self) -> str:
        options = {
            "": self.keep and str(self.keep),
            "rope=": self.rope is not _default_rope(self.base) and self.rope.value,
            "entropy=": self.entropy != "none" and self.entropy,
            "mix=": "/".join(str(part) for part in self.mix),
            "of=": self.of is not Payload.CACHE and self.of.value,
        }
        return "+".join([str(self.base), *(f"{name}{value}" for name, value in options.items() if value)])


def _default_rope(base: Base) -> RopePhase:
    """Calibrated tables are for keys before RoPE."""
    return RopePhase.PRE if registry.QUANTIZERS[base.name].needs_calibration else RopePhase.POST


def _parse_keep(piece: Piece) -> Keep | None:
    """Keeping every token is the same as not pruning, whatever the selector."""
    ratio, rest = piece.divide(",")
    given = rest.pairs() if rest is not None else {}
    if "ratio" in given:
        raise piece.refuse("the ratio stands first, without a name")
    with piece.blamed():
        keep = build(Keep, {"ratio": ratio.text, **given}, "keep")
    return None if keep.ratio == 1 else keep


def _one_of(piece: Piece, choices: tuple[_Choice, ...]) -> _Choice:
    for choice in choices:
        if piece.text == choice:
            return choice
    raise piece.refuse(f"must be one of {', '.join(choices)}")
