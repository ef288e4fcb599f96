"""A folder of calibrations, found by the model they are for."""

from pathlib import Path

from codec import registry
from codec.calibration import Calibration, file_name
from codec.spec import CodecSpec, Payload
from kvwire.errors import BindingError, NotFoundError, SpecError


class Calibrations:
    """Loads each file once; ``folder`` need not exist while no codec asks for one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[bytes, Calibration] = {}

    def needed(self, spec: CodecSpec, weights: bytes, model: str) -> Calibration | None:
        """What ``spec`` needs to know of the model with these weights (SHA-256); None if nothing.

        Raises:
            SpecError: It would be one of latents, which nobody can make yet.
            BindingError: There is no calibration of it here, or one of another model under its name.
        """
        bases = (spec.base, *(part.base for part in spec.mix))
        if not any(registry.QUANTIZERS[base.name].needs_calibration for base in bases):
            return None
        if spec.of is Payload.LATENTS:
            raise SpecError(f"codec {str(spec)!r}: no tables of latents can be made yet; take nf4, hadamard or mix=")
        if (found := self.held(weights, model)) is None:
            raise BindingError(
                f"codec {str(spec)!r} needs tables of {model}, and {self._folder / file_name(weights)} is not there; "
                "make it with: kvwire codec calibrate, or copy the other side's"
            )
        return found

    def offered(self, weights: bytes, model: str) -> tuple[str, ...]:
        """The bases that can be had of the model with these weights: all, but without tables not those that need some.

        Raises:
            BindingError: As :meth:`held` does.
        """
        tables = self.held(weights, model)
        return tuple(
            name for name, quantizer in registry.QUANTIZERS.items() if tables or not quantizer.needs_calibration
        )

    def held(self, weights: bytes, model: str) -> Calibration | None:
        """What is known of the model with these weights, if anything.

        Raises:
            BindingError: The file is damaged, or of another model under its name.
        """
        if weights not in self._loaded:
            path = self._folder / file_name(weights)
            try:
                found = Calibration.load(path)
            except NotFoundError:
                return None
            if found.weights != weights:
                raise BindingError(f"{path} was calibrated for other weights ({found.model}); calibrate {model} again")
            self._loaded[weights] = found
        return self._loaded[weights]
