"""How far two scorings of the same continuations lie apart, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvwire.byte_budget import ByteBudget
from kvwire.errors import InvalidRequestError, NotFoundError

# A 100-token continuation over 50,000 entries takes 20 MB; a comparison follows its reference within a few requests.
_MAX_KEPT_BYTES = 256 * 1024 * 1024


def divergences(reference: Tensor, other: Tensor) -> tuple[tuple[float, ...], tuple[bool, ...]]:
    """KL(reference || other) in nats and equality of the most likely token, per row.

    Both: log-probabilities ``(tokens, vocabulary)``, float32.
    """
    kl = torch.nn.functional.kl_div(other, reference, log_target=True, reduction="none").sum(-1)
    same = reference.argmax(-1) == other.argmax(-1)
    # Rounding can leave equal distributions a hair below zero.
    return tuple(kl.clamp(min=0).tolist()), tuple(same.tolist())


@dataclass(frozen=True)
class _Kept:
    continuations: tuple[tuple[int, ...], ...]
    distributions: tuple[Tensor, ...]

    @property
    def size_bytes(self) -> int:
        return sum(d.nbytes for d in self.distributions)


class KeptDistributions:
    """The latest kept scorings, within a memory budget; one caller never sees another's."""

    def __init__(self, max_bytes: int = _MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept = ByteBudget[tuple[str, str], _Kept](max_bytes, lambda kept: kept.size_bytes)

    def put(
        self, caller: str, request_id: str, continuations: Sequence[tuple[int, ...]], distributions: Sequence[Tensor]
    ) -> None:
        """Keep a scoring; those not compared with for longest make room.

        Raises:
            InvalidRequestError: It is larger than the whole budget.
        """
        kept = _Kept(tuple(continuations), tuple(distributions))
        if kept.size_bytes > self._max_bytes:
            raise InvalidRequestError(
                f"the distributions take {kept.size_bytes} bytes, {self._max_bytes} are kept; score fewer tokens"
            )
        self._kept.put((caller, request_id), kept)

    def get(self, caller: str, request_id: str, continuations: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
        """The distributions of a kept scoring.

        Raises:
            NotFoundError: It was never kept, or made room for later ones.
            InvalidRequestError: It scored other continuations.
        """
        kept = self._kept.get((caller, request_id))
        if kept is None:
            raise NotFoundError(f"no kept scoring {request_id!r}; score it again with keep_distributions first")
        if kept.continuations != tuple(continuations):
            raise InvalidRequestError(f"scoring {request_id!r} was of other continuations; compare like with like")
        return kept.distributions
