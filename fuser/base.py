"""The seam every fuser stands behind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from torch import Tensor

from codec.layer import LayerKV
from codec.spec import RopePhase
from kvwire.requests import ModelCard


class MixingScope(StrEnum):
    """Which numbers of a token a fuser mixes; a token pruned from part of that scope is not whole to it."""

    HEAD = "head"
    LAYER = "layer"
    ALL_LAYERS = "all_layers"


class Fuser(ABC):
    """Turns a sharer's layers into keys and values a receiver can attend to.

    ``fingerprint`` is bound into every stream header, ``rope`` says in which phase keys are wanted, ``scope`` which
    numbers are mixed.
    """

    name: ClassVar[str]
    scope: ClassVar[MixingScope]
    rope: ClassVar[RopePhase]
    fingerprint: bytes = b""

    @abstractmethod
    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """Refuse a pair this fuser was not made for.

        Raises:
            BindingError: With what differs.
        """

    @abstractmethod
    def source_layers(self, target: int) -> tuple[int, ...]:
        """Sharer layers that target layer needs, ascending."""

    @abstractmethod
    def project(self, target: int, sources: Mapping[int, LayerKV]) -> LayerKV:
        """A prefix layer for the receiver from the sharer's layers alone.

        Keys and values of the result: ``(kv_heads, kept, head_dim)`` of the receiver, float32.
        """

    @abstractmethod
    def fuse(self, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The receiver's own layer, ``(kv_heads, tokens, head_dim)`` each, with the sharer's fused in.

        A token the sharer pruned keeps the receiver's own keys and values.
        """
