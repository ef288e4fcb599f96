"""What to measure, as validated YAML: everything a recipe may say, and nothing else.

What a codec spec may be is the sharer's to say: a recipe is checked for shape here, and every spec of it is tried on
the running services before the first item (``preflight``). ``experiments/recipes/`` holds the recipes we ship.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from experiments.yaml_source import Source, read_yaml
from kvwire.errors import NotFoundError
from kvwire.requests import Method
from loadtest.datasets import CONTINUATION_LOADERS, LOADERS, SPAN_LOADERS

SHIPPED = Path(__file__).with_name("recipes")

Selector = Literal["recency", "front", "random", "key_norm", "value_norm", "attention", "question"]
Scope = Literal["layer", "head"]
Baseline = Literal["receiver_only", "receiver_reads", "text", "verbatim"]
WrongContext = Literal["none", "unpruned", "all"]

# One base and its options; what the names may be is left to the services, so that a new codec needs no change here.
_CODEC = re.compile(r"[a-z0-9]+(:[a-z0-9_]+=[a-z0-9_.-]+(,[a-z0-9_]+=[a-z0-9_.-]+)*)?(\+[a-z]+=[^\s+]+)*")


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{twice[0]!r} is listed twice; list it once")
    return values


Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Once = AfterValidator(_each_once)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Set(_Part):
    """What every dataset takes. ``wrong_context`` says which arms are also run with another item's context."""

    name: str
    split: Literal["train", "validation", "test"] = "test"
    limit: Count | None = None
    wrong_context: WrongContext = "none"


class ChoiceSet(_Set):
    """Multiple-choice questions, scored by likelihood."""

    open_book: bool = Field(default=False, strict=True)


class ContinuationSet(_Set):
    """Text to be continued; lengths in characters, by default the dataset's own."""

    context_characters: Count | None = None
    continuation_characters: Count | None = None


class SpanSet(_Set):
    """Reading questions, answered in writing."""


def _shape(entry: Any) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else getattr(entry, "name", None)
    if not isinstance(name, str):
        return None
    tables = {"choices": LOADERS, "continuations": CONTINUATION_LOADERS, "spans": SPAN_LOADERS}
    return "choices" if name.startswith("file:") else next((s for s, table in tables.items() if name in table), None)


_NAMES = ", ".join((*LOADERS, *CONTINUATION_LOADERS, *SPAN_LOADERS))
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


class Recipe(_Part):
    """One experiment: every dataset's items through every arm.

    The arms are the uncompressed cache, the baselines, and each codec at each ratio of ``keep``: whole at 1, and below
    that by each selector in each scope; and each codec of ``unpruned``, whole. All caches go through ``fuser``, one of
    the receiver's. ``seed`` is that of the bootstrap; nothing else is random.

    Of each dataset the first ``timed`` items are asked first, one arm at a time and with nothing beside it, which gives
    their latency; of the others so many arms as ``together`` says are scored in one forward pass, which is faster.
    """

    title: str = Field(min_length=1)
    method: Literal[Method.PREFIX, Method.FUSE] = Method.PREFIX
    fuser: str = Field(default="identity", min_length=1)
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1)]
    codecs: Annotated[tuple[str, ...], Field(min_length=1), Once]
    unpruned: Annotated[tuple[str, ...], Once] = ()
    selectors: Annotated[tuple[Selector, ...], Once] = ()
    keep: Annotated[tuple[Ratio, ...], Field(min_length=1, validate_default=True), Once] = (1.0,)
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1), Once] = ("layer",)
    baselines: Annotated[tuple[Baseline, ...], Once] = get_args(Baseline)
    relay_max_tokens: Count = 48
    together: Annotated[int, Field(ge=1, le=64, strict=True)] = 8
    timed: Annotated[int, Field(ge=0, strict=True)] = 5
    seed: Annotated[int, Field(ge=0, strict=True)] = 0

    @field_validator("codecs", "unpruned")
    @classmethod
    def _codecs_are_whole(cls, codecs: tuple[str, ...]) -> tuple[str, ...]:
        for codec in codecs:
            if not _CODEC.fullmatch(codec):
                raise ValueError(f"{codec!r} is no codec spec; write for example int8 or int8:per=head")
            if "+keep=" in codec:
                raise ValueError(f"{codec!r}: say how much to keep under `keep` and `selectors`, not in the codec")
        return codecs

    @field_validator("unpruned")
    @classmethod
    def _unpruned_ones_are_others(cls, unpruned: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        _each_once((*info.data.get("codecs", ()), *unpruned))
        return unpruned

    @field_validator("datasets")
    @classmethod
    def _datasets_differ(cls, datasets: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        _each_once(tuple(dataset.name for dataset in datasets))
        return datasets

    @field_validator("keep")
    @classmethod
    def _pruning_and_selectors_go_together(cls, keep: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        selectors, pruned = info.data.get("selectors"), any(ratio < 1 for ratio in keep)
        if selectors and not pruned:
            raise ValueError("all tokens are kept, so `selectors` have nothing to do; add a ratio below 1")
        if selectors == () and pruned:
            raise ValueError(f"a ratio below 1 needs `selectors`, of {', '.join(get_args(Selector))}")
        return keep


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe and the file it stands in; ``name`` is the file's."""

    name: str
    recipe: Recipe
    source: Source

    @property
    def sha256(self) -> str:
        """Of the file's text."""
        return hashlib.sha256(self.source.text.encode()).hexdigest()


def load_recipe(reference: str) -> NamedRecipe:
    """Read a recipe by path, or by the name of one we ship.

    Raises:
        NotFoundError: There is none.
        InvalidRequestError: What is wrong with it, where, and what is allowed there.
    """
    path = Path(reference)
    if not path.is_file() and (SHIPPED / f"{reference}.yaml").is_file():
        path = SHIPPED / f"{reference}.yaml"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise NotFoundError(f"{reference} is no recipe file; give a path, or one of {shipped}")
    source = read_yaml(path)
    try:
        return NamedRecipe(path.stem, Recipe.model_validate(source.data), source)
    except ValidationError as refused:
        # A mistyped key is also a missing one; the typo is the cause.
        first = min(refused.errors(), key=lambda error: error["type"] != "extra_forbidden")
        raise source.refuse(_place(first["loc"]), _defect(first)) from refused


_TAGS: dict[str, type[_Part]] = {"choices": ChoiceSet, "continuations": ContinuationSet, "spans": SpanSet}


def _place(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Where it stands in the file: pydantic adds the tag of the union's member behind ``datasets.N``."""
    return tuple(part for depth, part in enumerate(location) if depth != 2 or part not in _TAGS)  # noqa: PLR2004


def _defect(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        tag = next((part for part in error["loc"] if part in _TAGS), None)
        owner = _TAGS[tag] if tag else Recipe
        return f"unknown key {error['loc'][-1]!r}; allowed: {', '.join(owner.model_fields)}"
    if error["type"] == "missing":
        return f"{error['loc'][-1]} is missing"
    return message if error["type"] in ("value_error", "unknown_dataset") else f"{message}, not {error['input']!r}"
