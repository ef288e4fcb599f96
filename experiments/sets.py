"""The datasets a recipe may name, one model for each shape of question."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from loadtest.datasets import CONTINUATION_LOADERS, LOADERS, SPAN_LOADERS

WrongContext = Literal["none", "unpruned", "all"]
Count = Annotated[int, Field(ge=1, strict=True)]


class Part(BaseModel):
    """Part of a recipe: nothing in it is unknown, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Set(Part):
    """What every dataset takes.

    ``label`` is what results call it, its name if it has none: one dataset may be asked in several ways.
    ``wrong_context`` says which arms are also run with another item's context.
    """

    name: str
    label: str = ""
    split: Literal["train", "validation", "test"] = "test"
    limit: Count | None = None
    wrong_context: WrongContext = "none"

    @property
    def called(self) -> str:
        """Its label, or its name."""
        return self.label or self.name


class ChoiceSet(_Set):
    """Multiple-choice questions, answered by likelihood, or by a letter that is written, as the literature has it."""

    open_book: bool = Field(default=False, strict=True)
    scoring: Literal["loglik", "letter"] = "loglik"


class ContinuationSet(_Set):
    """Text to be continued; lengths in characters, by default the dataset's own."""

    context_characters: Count | None = None
    continuation_characters: Count | None = None


class SpanSet(_Set):
    """Reading questions, answered in writing."""


_LOADERS = {"choices": LOADERS, "continuations": CONTINUATION_LOADERS, "spans": SPAN_LOADERS}
_NAMES = ", ".join(name for loaders in _LOADERS.values() for name in loaders)


def _shape(entry: Any) -> str | None:
    """The tag of a dataset, by its name; None if there is none of that name."""
    name = entry.get("name") if isinstance(entry, dict) else getattr(entry, "name", None)
    if not isinstance(name, str):
        return None
    return "choices" if name.startswith("file:") else next((tag for tag in _LOADERS if name in _LOADERS[tag]), None)


Dataset = Annotated[
    Annotated[ChoiceSet, Tag("choices")]
    | Annotated[ContinuationSet, Tag("continuations")]
    | Annotated[SpanSet, Tag("spans")],
    Discriminator(
        _shape,
        custom_error_type="unknown_dataset",
        custom_error_message=f"no known dataset; name one of {_NAMES} or file:PATH",
    ),
]
#: By the tags above, which pydantic puts into the place of a defect.
TAGS: dict[str, type[Part]] = {"choices": ChoiceSet, "continuations": ContinuationSet, "spans": SpanSet}
