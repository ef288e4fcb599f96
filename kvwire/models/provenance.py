"""Where a model came from and on what terms: what its files cannot say of themselves."""

from dataclasses import dataclass
from typing import Self

from kvwire.models.catalog import CatalogModel
from kvwire.models.reference import ModelReference


@dataclass(frozen=True, slots=True)
class Provenance:
    """Facts a pull knows before it reads the weights; an empty id or weight format is filled in from them."""

    reference: ModelReference
    id: str
    revision: str
    licence: str
    terms: str
    weight_format: str

    @classmethod
    def of_archive(cls, reference: ModelReference, entry: CatalogModel) -> Self:
        """A model of the catalog."""
        return cls(reference, entry.id, entry.revision, entry.licence, entry.terms, entry.weight_format)

    @classmethod
    def of_hub(cls, reference: ModelReference, commit: str) -> Self:
        """A repository of the hub at the commit its revision resolved to."""
        terms = f"see https://huggingface.co/{reference.name}"
        return cls(reference, reference.name, commit, "see its model card", terms, "")

    @classmethod
    def of_folder(cls, reference: ModelReference) -> Self:
        """A folder somebody made; its id comes from the weights, so every machine may keep it where it likes."""
        return cls(reference, "", "", "unknown", "as whoever made the folder has set them", "")
