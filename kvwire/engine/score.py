"""Scores of continuations from their distributions, and how far they lie from a scoring that was kept."""

from collections.abc import Sequence

from torch import Tensor

from kvwire.engine.compare import KeptDistributions, divergences
from kvwire.engine.decode import chosen
from kvwire.report import ContinuationScore
from kvwire.requests import ScoreRequest, Text


class Scorer:
    """Scores requests and holds the distributions of those that ask for it."""

    def __init__(self) -> None:
        self._kept = KeptDistributions()

    def score(
        self, request: ScoreRequest, continuations: Sequence[tuple[int, ...]], found: Sequence[Tensor]
    ) -> list[ContinuationScore]:
        """A score per continuation; ``found`` are their log-probabilities, ``(tokens, vocabulary)`` each.

        Raises:
            NotFoundError, InvalidRequestError: What the request is compared with is not held, or is of other tokens.
        """
        caller = request.info.caller
        reference = self._kept.get(caller, request.compare_with, continuations) if request.compare_with else None
        if request.keep_distributions:
            self._kept.put(caller, request.info.request_id, continuations, found)
        scores = []
        for index, (tokens, distributions) in enumerate(zip(continuations, found, strict=True)):
            piece = request.continuations[index]
            kl_nats, same_top1 = divergences(reference[index], distributions) if reference else ((), ())
            characters = len(piece.text) if isinstance(piece, Text) else 0
            scores.append(
                ContinuationScore(index, tokens, chosen(distributions, tokens), characters, kl_nats, same_top1)
            )
        return scores
