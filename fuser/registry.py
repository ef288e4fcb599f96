"""Fusers: those that need no weights by name, the kinds a file may hold, and those a service was given."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from fuser import checkpoint
from fuser.base import Fuser
from fuser.checkpoint import Checkpoint
from fuser.official.layout import read_official
from fuser.projectors import c2c_file, ridge_file
from fuser.projectors.c2c import C2CFuser
from fuser.projectors.identity import IdentityFuser
from fuser.projectors.ridge import RidgeFuser
from kvwire.errors import NotFoundError, UnsupportedError

#: Offered by every service, without a file.
FUSERS: dict[str, Callable[[], Fuser]] = {
    IdentityFuser.name: IdentityFuser,
}

#: What a checkpoint's kind is made into.
KINDS: dict[str, Callable[[Checkpoint], Fuser]] = {
    C2CFuser.name: c2c_file.read,
    RidgeFuser.name: ridge_file.read,
}


def read_fuser(path: Path) -> Fuser:
    """Read a fuser's file, or an official C2C checkpoint's folder.

    Raises:
        NotFoundError: It is not there.
        DataLossError: It is damaged, or holds other tensors than it should.
        BindingError, UnsupportedError: It is of a version or a kind that this build does not run.
    """
    if path.is_dir():
        return read_official(path)
    found = checkpoint.read(path)
    if found.kind not in KINDS:
        raise UnsupportedError(f"{path} holds a fuser of kind {found.kind!r}; this build runs {', '.join(KINDS)}")
    return KINDS[found.kind](found)


#: Behind a fuser's name, its control that is deaf to the sharer.
ZEROED = ":zeroed"


class Fusers:
    """The fusers a service offers: its own, and those of its configuration, read and placed once.

    Each has a control, named with ``:zeroed`` behind it and made when it is first asked for.
    """

    def __init__(
        self,
        paths: Mapping[str, Path] | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008  # immutable
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._fusers = {name: make() for name, make in FUSERS.items()}
        for name, path in (paths or {}).items():
            self._fusers[name] = read_fuser(path)
            self._fusers[name].place(device, dtype)
        self._controls: dict[str, Fuser] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names a request may use."""
        return tuple(self._fusers)

    def named(self, name: str) -> Fuser:
        """A fuser, or the control of one, by name.

        Raises:
            NotFoundError: There is none of that name.
            InvalidRequestError: It has no control.
        """
        if name.endswith(ZEROED):
            if name not in self._controls:
                self._controls[name] = self.named(name.removesuffix(ZEROED)).zeroed()
            return self._controls[name]
        if name not in self._fusers:
            known = ", ".join(self._fusers)
            raise NotFoundError(
                f"no fuser is named {name!r} here; known: {known}; start the receiver with --fusers NAME=PATH for more"
            )
        return self._fusers[name]
