"""What is measured: anything that sends a document's cache and says what came of it."""

from dataclasses import dataclass
from typing import Protocol

from bench.quality import Change, Reader
from bench.speed import Times, time_layers
from codec.calibrations import Calibrations
from codec.codec import Codec
from codec.spec import CodecSpec
from kvwire.engine.engine import Engine
from kvwire.errors import BindingError, UnavailableError


@dataclass(frozen=True)
class Name:
    """``codec`` is a spec of ours, or what ``peer``, in ``version``, calls one of its own."""

    codec: str
    peer: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.peer} {self.codec}" if self.peer else self.codec


class Candidate(Protocol):
    """One codec, ours or a peer's."""

    @property
    def name(self) -> Name:
        """What its row is called."""

    def send(self, reader: Reader, budget_s: float | None) -> tuple[Change, Times | None]:
        """The document's cache through the codec; timed for ``budget_s`` a direction, or not.

        Raises:
            UnavailableError: It cannot be had here, or cannot carry this cache; its row says why.
        """


class OwnCodec:
    """One spec, by real frames; ``engine`` has the model whose caches it sends."""

    def __init__(self, spec: CodecSpec, calibrations: Calibrations, engine: Engine) -> None:
        self.name = Name(str(spec))
        self._spec = spec
        self._calibrations = calibrations
        self._model = engine.card.binding

    def send(self, reader: Reader, budget_s: float | None) -> tuple[Change, Times | None]:
        """See :class:`Candidate`.

        Raises:
            UnavailableError: The spec needs a calibration of the model, and there is none.
            SpecError: This build does not offer the spec.
            InvalidRequestError: The codec cannot carry a layer's numbers.
        """
        try:
            calibration = self._calibrations.needed(self._spec, self._model.weights_fingerprint, self._model.id)
        except BindingError as error:
            raise UnavailableError(str(error)) from None
        codec = Codec(self._spec, reader.ropes, calibration)
        times = None if budget_s is None else time_layers(codec, reader.layers, budget_s)
        return reader.through(codec), times
