"""Parts of a mixed-precision spec: ``kL0-3@int8`` gives the keys of layers 0 to 3 to another base."""

import re
from dataclasses import dataclass
from itertools import combinations

from codec.bases import Base
from codec.quantize.base import Kind
from codec.quantize.omit import OMIT
from codec.scanner import Piece

_Ends = tuple[int, int]
_KINDS = {"k": Kind.KEY, "v": Kind.VALUE}
_RANGE = re.compile(r"([kv])?(?:L([0-9]{1,5})-([0-9]{1,5}))?(?:H([0-9]{1,5})-([0-9]{1,5}))?")


@dataclass(frozen=True)
class Part:
    """A box of keys or values, layers and heads (None: all of them; ends inclusive), and the base that codes it."""

    kind: Kind | None
    layers: _Ends | None
    heads: _Ends | None
    base: Base

    def meets(self, other: "Part") -> bool:
        """Whether some plane falls into both."""
        kinds = None in (self.kind, other.kind) or self.kind is other.kind
        return kinds and _meet(self.layers, other.layers) and _meet(self.heads, other.heads)

    def __str__(self) -> str:
        ends = "".join(f"{mark}{at[0]}-{at[1]}" for mark, at in (("L", self.layers), ("H", self.heads)) if at)
        return f"{self.kind[0] if self.kind else ''}{ends}@{self.base}"


def parse_mix(piece: Piece) -> tuple[Part, ...]:
    """Read ``part{/part}``, in one canonical order.

    Raises:
        SpecError: A malformed range or base, two parts that overlap, or parts that leave nothing of a layer.
    """
    parts = [(each, _parse_part(each)) for each in piece.split("/")]
    for (_, one), (where, other) in combinations(parts, 2):
        if one.meets(other):
            raise where.refuse(f"overlaps {str(one)!r}; each plane must fall into one part at most")
    omitted = [(part, where) for where, part in parts if part.base.name == OMIT and part.heads is None]
    for at, (part, where) in enumerate(omitted):  # as they do not overlap, two of the same layers are keys and values
        if part.kind is None or any(_meet(part.layers, other.layers) for other, _ in omitted[:at]):
            raise where.refuse("leaves neither keys nor values of a layer; leave out one of them at most")
    return tuple(sorted((part for _, part in parts), key=_order))


def _parse_part(piece: Piece) -> Part:
    where, base = piece.divide("@")
    found = _RANGE.fullmatch(where.text)
    if found is None or not where.text:
        raise where.refuse("a range [k|v][L<a>-<b>][H<a>-<b>] expected, such as k, vL0-3 or L4-7H0-1")
    if base is None:
        raise piece.refuse("<range>@<base> expected")
    letter, *ends = found.groups()
    layers, heads = _ends(where, ends[:2]), _ends(where, ends[2:])
    return Part(_KINDS.get(letter), layers, heads, Base.parse(base))


def _ends(where: Piece, texts: list[str]) -> _Ends | None:
    if texts[0] is None:
        return None
    first, last = int(texts[0]), int(texts[1])
    if first > last:
        raise where.refuse(f"{first}-{last} runs backwards")
    return first, last


def _meet(one: _Ends | None, other: _Ends | None) -> bool:
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def _order(part: Part) -> tuple[str, _Ends, _Ends]:
    return part.kind or "", part.layers or (-1, -1), part.heads or (-1, -1)
