"""The tokenizer of a running service: lm-eval counts and divides in tokens, so it must be exactly that one."""

from typing import Any

from kvwire.errors import BindingError, NotFoundError
from kvwire.model_card import ModelBinding
from kvwire.models.load import load_tokenizer
from kvwire.models.store import ModelStore


def tokenizer_of(served: ModelBinding, reference: str) -> Any:
    """That of the model of a reference, else of any model in the store that has the same one.

    Raises:
        BindingError: The model that was named has another tokenizer.
        NotFoundError: No model in the store has it, or none has that name.
    """
    store = ModelStore()
    if reference:
        named = store.pull(reference)
        if named.binding.tokenizer_fingerprint != served.tokenizer_fingerprint:
            raise BindingError(
                f"{reference} has another tokenizer than {served.id}, which is served; name the model that is"
            )
        return load_tokenizer(named)
    for stored in store.list():
        if stored.binding.tokenizer_fingerprint == served.tokenizer_fingerprint:
            return load_tokenizer(stored)
    raise NotFoundError(
        f"no model under {store.home} has the tokenizer of {served.id}, which is served; name one that has it: "
        "tokenizer=path:DIR, or what `kvwire models pull` takes"
    )
