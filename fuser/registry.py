"""Fusers by name."""

from collections.abc import Callable

from fuser.base import Fuser
from fuser.projectors.identity import IdentityFuser
from kvwire.errors import NotFoundError

FUSERS: dict[str, Callable[[], Fuser]] = {
    IdentityFuser.name: IdentityFuser,
}


def fuser_named(name: str) -> Fuser:
    """Make a fuser.

    Raises:
        NotFoundError: Nobody offers it.
    """
    if name not in FUSERS:
        raise NotFoundError(f"no fuser is named {name!r}; known: {', '.join(FUSERS)}")
    return FUSERS[name]()
