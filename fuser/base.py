"""The seam every fuser stands behind."""
# ruff: noqa: ARG002  # a seam's defaults need none of its arguments

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor

from codec.layer import LayerKV
from codec.quantize.base import Kind
from codec.spec import RopePhase
from kvwire.errors import InvalidRequestError
from kvwire.model_card import ModelCard
from kvwire.requests import AlignmentRule, Method

BOTH_HALVES = frozenset(Kind)


def zeroed_fingerprint(fingerprint: bytes) -> bytes:
    """That of the control of a fuser: what is bound to one is not bound to the other."""
    return hashlib.sha256(b"zeroed" + fingerprint).digest()


class MixingScope(StrEnum):
    """Which numbers of a token a fuser mixes; a token pruned from part of that scope is not whole to it."""

    HEAD = "head"
    LAYER = "layer"
    ALL_LAYERS = "all_layers"


class Fuser(ABC):
    """Turns a sharer's layers into keys and values a receiver can attend to.

    ``fingerprint`` is bound into every stream header, ``rope`` says in which phase keys are wanted, ``scope`` which
    numbers are mixed, ``methods`` which of :meth:`project` and :meth:`fuse` it offers.
    """

    name: ClassVar[str]
    scope: ClassVar[MixingScope]
    rope: ClassVar[RopePhase]
    methods: ClassVar[frozenset[Method]] = frozenset({Method.PREFIX, Method.FUSE})
    #: Which sharer token stands for each of the receiver's; none where both read the same tokens.
    alignment: AlignmentRule = AlignmentRule.NONE
    fingerprint: bytes = b""

    @abstractmethod
    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """Refuse a pair this fuser was not made for.

        Raises:
            BindingError: With what differs.
        """

    @abstractmethod
    def source_layers(self, target: int) -> tuple[int, ...]:
        """Sharer layers that target layer needs, ascending; none if it is left as it is."""

    def sent_by(self, sharer: ModelCard) -> ModelCard:
        """What the sharer sends, described like a model: itself, or what stands between two halves of a fuser."""
        return sharer

    def halves(self, source: int) -> frozenset[Kind]:
        """Whether any target needs a source layer's keys, its values, or both; what nobody needs is not sent."""
        return BOTH_HALVES

    def head(self, receiver_head: tuple[int, ...]) -> tuple[int, ...]:
        """What the sharer reads before the context and does not send, in its own token ids."""
        return receiver_head

    def opening(self, own: tuple[int, ...]) -> tuple[int, ...]:
        """What the receiver reads before slot 0, given what its prompt begins with."""
        return own

    def weights(self) -> Mapping[str, Tensor]:
        """Its tensors by name, the very ones it computes with, so that gradients reach them; none by default."""
        return {}

    def place(self, device: torch.device, dtype: torch.dtype) -> None:  # noqa: B027  # most have nothing to move
        """Move the weights to where the receiver's cache lies."""

    def project(self, target: int, sources: Mapping[int, LayerKV]) -> LayerKV:
        """A prefix layer for the receiver from the sharer's layers alone.

        Keys and values of the result: ``(kv_heads, kept, head_dim)`` of the receiver, float32.
        """
        raise self.refusal(Method.PREFIX)

    def fuse(self, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The receiver's own layer, ``(kv_heads, tokens, head_dim)`` each, with the sharer's fused in.

        A token the sharer pruned keeps the receiver's own keys and values. The tensors given are left as they are.
        """
        raise self.refusal(Method.FUSE)

    def zeroed(self) -> "Fuser":
        """A control: the same fuser, deaf to the sharer, whatever arrives.

        Raises:
            InvalidRequestError: Without the sharer's numbers this one has nothing to give.
        """
        raise InvalidRequestError(
            f"fuser {self.name} passes the sharer's numbers on and has none of its own, so there is nothing left of it "
            "without them; its control is receiver_only"
        )

    def refusal(self, method: Method) -> InvalidRequestError:
        """What a request for a method that it does not offer is told."""
        offered = ", ".join(sorted(self.methods))
        return InvalidRequestError(f"fuser {self.name} does not offer method {method}; ask for {offered}")
