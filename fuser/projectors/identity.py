"""Identity: the same model on both sides; its cache is used as it is."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from codec.layer import LayerKV
from codec.spec import RopePhase
from fuser.base import Fuser, MixingScope
from kvwire.errors import BindingError
from kvwire.model_card import ModelCard


class IdentityFuser(Fuser):
    """Passes layer t of the sharer on as layer t of the receiver."""

    name: ClassVar[str] = "identity"
    scope: ClassVar[MixingScope] = MixingScope.HEAD
    rope: ClassVar[RopePhase] = RopePhase.POST

    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """Both sides must run the same weights with the same tokenizer."""
        theirs, ours = sharer.binding, receiver.binding
        for what in ("weights_fingerprint", "tokenizer_fingerprint"):
            if getattr(theirs, what) != getattr(ours, what):
                raise BindingError(
                    f"the identity fuser needs one model on both sides, but the sharer runs {theirs.id} and the "
                    f"receiver {ours.id} with another {what.replace('_', ' ')}; "
                    "name a fuser made for this pair, or start both with the same model"
                )

    def source_layers(self, target: int) -> tuple[int, ...]:
        """The layer itself."""
        return (target,)

    def project(self, target: int, sources: Mapping[int, LayerKV]) -> LayerKV:
        """The sharer's layer as it came."""
        return sources[target]

    def fuse(self, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The sharer's keys and values where it sent them, the receiver's own elsewhere."""
        source = sources[target]
        if source.slots is None:
            return source.keys.to(keys), source.values.to(values)
        fused_keys, fused_values = keys.clone(), values.clone()
        slots = source.slots.to(keys.device).expand(keys.shape[0], -1)[..., None].expand(source.keys.shape)
        fused_keys.scatter_(1, slots, source.keys.to(keys))
        fused_values.scatter_(1, slots, source.values.to(values))
        return fused_keys, fused_values
