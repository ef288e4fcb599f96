"""A folder of sensitivity profiles, found by the model they are of."""

from pathlib import Path

from codec.allocate.profile import Profile, file_name
from kvwire.errors import BindingError, NotFoundError


class Profiles:
    """Loads each file once; ``folder`` need not exist while no policy asks for one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[bytes, Profile] = {}

    def of(self, weights: bytes, model: str) -> Profile:
        """The profile of the model with these weights (SHA-256).

        Raises:
            BindingError: There is none here, or one of another model under its name.
        """
        if weights not in self._loaded:
            path = self._folder / file_name(weights)
            try:
                found = Profile.load(path)
            except NotFoundError:
                raise BindingError(
                    f"a budget needs a sensitivity profile of {model}, and {path} is not there; make it with: kvwire "
                    "codec profile"
                ) from None
            if found.weights != weights:
                raise BindingError(f"{path} was measured on other weights ({found.model}); profile {model} again")
            self._loaded[weights] = found
        return self._loaded[weights]
