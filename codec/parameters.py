"""``key=value`` texts <-> frozen dataclasses: the fields of a class are its parameters in a codec spec.

The one place that says what a number looks like in a spec. Canonical texts leave out defaults and keep field order.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from kvwire.errors import SpecError

T = TypeVar("T")

#: No sign, no plus (it separates options); digits are bounded, so every float prints back to this form.
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,24})?(e-[0-9]{1,3})?")
_INTEGER = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def build(cls: type[T], texts: Mapping[str, str], owner: str) -> T:
    """Make a ``cls`` from its parameters' texts.

    Raises:
        SpecError: A parameter ``cls`` does not have, a value of the wrong kind, or one that ``cls`` itself refuses.
    """
    kinds = _kinds(cls)
    for key in texts:
        if key not in kinds:
            raise SpecError(f"{owner} has no parameter {key!r}; it takes {', '.join(kinds) or 'none'}")
    return cls(**{key: _read(kinds[key], text, f"{owner} {key}") for key, text in texts.items()})


def texts(value: object) -> tuple[tuple[str, str], ...]:
    """Parameters of a frozen dataclass that are not at their defaults, in field order."""
    if not is_dataclass(value):
        return ()
    return tuple(
        (field.name, write(getattr(value, field.name)))
        for field in fields(value)
        if field.default is MISSING or getattr(value, field.name) != field.default
    )


def write(value: object) -> str:
    """A parameter's one canonical text."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


@cache  # every frame names its spec; reading the hints again took a tenth of decoding
def _kinds(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)} if is_dataclass(cls) else {}


def _read(kind: Any, text: str, what: str) -> Any:
    if get_origin(kind) is Literal:
        if text in get_args(kind):
            return text
        raise SpecError(f"{what} must be one of {', '.join(get_args(kind))}; {text!r} is not")
    pattern, parse, said = _READERS[kind]
    if pattern.fullmatch(text):
        return parse(text)
    raise SpecError(f"{what} must be {said}; {text!r} is not")


_READERS: dict[type, tuple[re.Pattern[str], Any, str]] = {
    int: (_INTEGER, int, "a whole number"),
    float: (_NUMBER, float, "a number such as 0.25"),
    str: (_NAME, str, "a name in lower case"),
}
