"""Runs codecs over a model's documents, one document after the other, so that all have been through the same ones."""

from collections.abc import Callable, Sequence

import torch

from bench.documents import SCORED_TOKENS, Document
from bench.quality import Change, Reader
from bench.row import Row, row
from bench.speed import Times, gigabytes_of, time_layers
from codec.calibrations import Calibrations
from codec.codec import Codec
from codec.spec import CodecSpec
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.models.load import load
from kvwire.models.reference import ModelReference
from kvwire.models.store import ModelStore, default_home

_MAX_TOKENS = 1 << 17  # the model's own limit is the one that counts


def engine_of(model: str) -> Engine:
    """The model in float32, so that the reference is as exact as it gets; pulled on first use.

    Raises:
        StoreError, NotFoundError: It cannot be had.
    """
    stored = ModelStore().pull(ModelReference.parse(model))
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), _MAX_TOKENS)


class Run:
    """One model and one length of prefix; ``rows`` is what is known so far, at any time.

    Raises:
        InputTooLongError: The model does not take as many tokens.
    """

    def __init__(self, engine: Engine, model: str, tokens: int, specs: Sequence[CodecSpec], budget_s: float) -> None:
        engine.check_length(tokens + SCORED_TOKENS, "a document's prefix and its scored tokens")
        self._engine = engine
        self._model = model
        self._tokens = tokens
        self._specs = specs
        self._budget_s = budget_s
        self._gigabytes = 0.0
        self._changes: dict[CodecSpec, list[Change]] = {spec: [] for spec in specs}
        self._times: dict[CodecSpec, Times] = {}
        self._calibrations = Calibrations(default_home() / "calibrations")

    def measure(self, document: Document, tell: Callable[[str], object]) -> None:
        """Send the document through every codec; the first one's layers are what codecs are timed on.

        Raises:
            SpecError: This build does not offer a spec.
            BindingError: A spec needs a calibration of the model, and there is none.
            InvalidRequestError: A codec cannot carry a layer's numbers.
        """
        reader = Reader(self._engine, document)
        self._gigabytes = gigabytes_of(reader.layers)
        for spec in self._specs:
            binding = self._engine.card.binding
            calibration = self._calibrations.needed(spec, binding.weights_fingerprint, binding.id)
            codec = Codec(spec, reader.ropes, calibration)
            if spec not in self._times:
                self._times[spec] = time_layers(codec, reader.layers, self._budget_s)
            change = reader.through(codec)
            self._changes[spec].append(change)
            tell(
                f"{self._model}, {self._tokens} tokens, {document.id!r}, {spec}: "
                f"{change.bits_per_value:.2f} bits, KL {change.kl:.4f}"
            )

    @property
    def rows(self) -> list[Row]:
        """A row for each codec that has been through a document, of the documents it has been through."""
        return [
            row(str(spec), self._model, self._tokens, changes, self._times[spec], self._gigabytes)
            for spec, changes in self._changes.items()
            if changes
        ]
