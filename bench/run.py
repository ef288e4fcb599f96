"""Runs codecs over a model's documents, one document after the other, so that all have been through the same ones."""

from collections.abc import Callable, Sequence

import torch

from bench.candidate import Candidate
from bench.documents import SCORED_TOKENS, Document
from bench.quality import Change, Reader
from bench.row import Absent, Result, row
from bench.speed import Times, gigabytes_of
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.errors import UnavailableError
from kvwire.models.load import load
from kvwire.models.manifest import StoredModel

_MAX_TOKENS = 1 << 17  # the model's own limit is the one that counts


def engine_of(stored: StoredModel) -> Engine:
    """The model in float32, so that the reference is as exact as it gets."""
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), _MAX_TOKENS)


class Run:
    """One model and one length of prefix; ``results`` is what is known so far, at any time.

    Raises:
        InputTooLongError: The model does not take as many tokens.
    """

    def __init__(
        self, engine: Engine, model: str, tokens: int, candidates: Sequence[Candidate], budget_s: float
    ) -> None:
        engine.check_length(tokens + SCORED_TOKENS, "a document's prefix and its scored tokens")
        self._engine = engine
        self._model = model
        self._tokens = tokens
        self._candidates = candidates
        self._budget_s = budget_s
        self._gigabytes = 0.0
        self._changes: list[list[Change]] = [[] for _ in candidates]
        self._times: list[Times | None] = [None for _ in candidates]
        self._reasons: list[str | None] = [None for _ in candidates]

    def measure(self, document: Document, tell: Callable[[str], object]) -> None:
        """Send the document through every codec; the first one's layers are what codecs are timed on.

        Raises:
            SpecError: This build does not offer a spec.
            InvalidRequestError: A codec of ours cannot carry a layer's numbers.
        """
        reader = Reader(self._engine, document)
        self._gigabytes = gigabytes_of(reader.layers)
        for at, candidate in enumerate(self._candidates):
            if self._reasons[at] is None:
                done = self._send(at, candidate, reader)
                tell(f"{self._model}, {self._tokens} tokens, {document.id!r}, {candidate.name}: {done}")

    def _send(self, at: int, candidate: Candidate, reader: Reader) -> str:
        known = self._times[at]
        try:
            change, times = candidate.send(reader, self._budget_s if known is None else None)
        except UnavailableError as error:
            self._reasons[at] = str(error)
            return f"absent: {error}"
        self._times[at] = times if known is None else known
        self._changes[at].append(change)
        return f"{change.bits_per_value:.2f} bits, KL {change.kl:.4f}"

    @property
    def results(self) -> list[Result]:
        """For each codec a row of the documents it has been through, or, if one was too much for it, why."""
        found: list[Result] = []
        for candidate, changes, times, reason in zip(
            self._candidates, self._changes, self._times, self._reasons, strict=True
        ):
            name = candidate.name
            if reason is not None:
                found.append(Absent(name.codec, self._model, self._tokens, name.peer, name.version, reason))
            elif times is not None:
                found.append(row(name, self._model, self._tokens, changes, times, self._gigabytes))
        return found
