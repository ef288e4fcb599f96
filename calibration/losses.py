"""What is lost by predicting as a receiver does behind a fuser's cache: the two losses that fusers are trained by."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import kl_div, nll_loss


class LossName(StrEnum):
    """What training lessens."""

    LIKELIHOOD = "likelihood"
    DISTILLATION = "distillation"


class Followed(Protocol):
    """An example of a text that goes on."""

    @property
    def nexts(self) -> Tensor:
        """The token after each one read, ``(tokens,)`` int64."""
        ...


E = TypeVar("E", bound=Followed)
#: Log-probabilities that were found, ``(tokens of all examples, vocabulary)``, and the examples; one number, in nats.
Loss = Callable[[Tensor, Sequence[E]], Tensor]


def likelihood(found: Tensor, examples: Sequence[Followed]) -> Tensor:
    """Mean negative log-likelihood of the tokens that really come next."""
    return nll_loss(found, torch.cat([each.nexts for each in examples]).to(found.device))


def divergence(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean KL divergence of what was found from log-probabilities that are wanted, of the same shape."""
    return kl_div(found, wanted, reduction="batchmean", log_target=True)
