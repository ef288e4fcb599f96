"""A policy as a request names it, ``budget=65536``, and the spec it comes to for one message."""

import re
from dataclasses import dataclass

from codec.allocate.allocate import allocate
from codec.allocate.profile import Profile
from codec.allocate.sizes import CacheShape
from codec.spec import CodecSpec
from kvwire.errors import BindingError, SpecError

_BUDGET = re.compile(r"budget=([1-9][0-9]{0,11})")


@dataclass(frozen=True)
class Budget:
    """At most so many bytes of frames, headers and all, at the least divergence that a profile foretells."""

    bytes: int

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read ``budget=BYTES``.

        Raises:
            SpecError: It is something else.
        """
        found = _BUDGET.fullmatch(text)
        if found is None:
            raise SpecError(
                f"policy {text!r} is not known; write budget=BYTES, a whole number of bytes such as 65536, or ask a "
                "receiver for ttft=300ms or bytes=65536"
            )
        return cls(int(found[1]))

    def resolve(self, wanted: CodecSpec, profile: Profile, shape: CacheShape) -> CodecSpec:
        """``wanted`` with its base and ``mix=`` chosen by the profile; its other options stay.

        Raises:
            SpecError: ``wanted`` has a ``mix=`` of its own, or nothing is as small as this budget.
            BindingError: The profile is of a model with fewer layers.
        """
        if wanted.mix:
            raise SpecError(f"codec spec {str(wanted)!r}: a budget chooses mix= itself; leave it out")
        if max(shape.layers) >= len(profile.divergences):
            raise BindingError(
                f"the profile of {profile.model} has {len(profile.divergences)} layers, layer {max(shape.layers)} is "
                "to be sent; make it again: kvwire codec profile"
            )
        found = allocate(profile, shape, wanted, self.bytes)
        if found.bytes > self.bytes:
            raise SpecError(
                f"a budget of {self.bytes} bytes is too small: {shape.tokens} tokens take {found.bytes} at least, as "
                f"{str(found.spec)!r}; raise it, or send fewer tokens with keep="
            )
        return found.spec
