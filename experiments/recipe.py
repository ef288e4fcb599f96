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

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from experiments.needs import KINDS, Need, Trained
from experiments.sets import TAGS, Count, Dataset, Part
from experiments.yaml_source import Source, read_yaml
from kvwire.errors import NotFoundError
from kvwire.requests import Method

SHIPPED = Path(__file__).with_name("recipes")

Selector = Literal["recency", "front", "random", "key_norm", "value_norm", "attention", "question"]
Scope = Literal["layer", "head"]
Baseline = Literal[
    "receiver_only", "receiver_reads", "sharer_only", "text", "text_question", "text_options", "verbatim"
]
_USUAL: tuple[Baseline, ...] = ("receiver_only", "receiver_reads", "text", "verbatim")

# One base and its options; what the names may be is left to the services, so that a new codec needs no change here.
_CODEC = re.compile(r"[a-z0-9]+(:[a-z0-9_]+=[a-z0-9_.-]+(,[a-z0-9_]+=[a-z0-9_.-]+)*)?(\+[a-z]+=[^\s+]+)*")
_POLICY = re.compile(r"[a-z]+=[0-9]+[a-z]*")


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{twice[0]!r} is listed twice; list it once")
    return values


Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]
Once = AfterValidator(_each_once)


class Controls(Part):
    """Arms that tell what of a gain is the sharer's; each sends the uncompressed cache.

    ``zeroed``: the recipe's fuser, deaf to what arrives. ``without_sharer``: another fuser, by name, that was trained
    deaf and is. ``same_model``: the receiver's own model as sharer, through the fuser of that name.
    """

    zeroed: bool = Field(default=False, strict=True)
    without_sharer: str = ""
    same_model: str = ""


class Recipe(Part):
    """One experiment: every dataset's items through every arm.

    The arms are the uncompressed cache, the baselines, and each codec at each ratio of ``keep``: whole at 1, and below
    that by each selector in each scope; and each codec of ``unpruned``, and what each of ``policies`` chooses, whole.
    All caches go through ``fuser``, one of the receiver's; ``codecs`` whole through each of ``other_fusers`` too. Then
    come the ``controls``. ``seed`` is that of the bootstrap; nothing else is random.

    ``row`` lists those of the matrix it measures. ``pair`` and ``needs`` (fusers by name) are what it runs with, so
    that its name is all that a user has to give.

    Of each dataset the first ``timed`` items are asked first, one arm at a time and with nothing beside it, which gives
    their latency; of the others so many arms as ``together`` says are scored in one forward pass, which is faster.
    """

    title: str = Field(min_length=1)
    row: Annotated[tuple[str, ...], Once] = ()
    pair: str = ""
    needs: dict[str, Need] = Field(default_factory=dict)
    method: Literal[Method.PREFIX, Method.FUSE] = Method.PREFIX
    fuser: str = Field(default="identity", min_length=1)
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1)]
    codecs: Annotated[tuple[str, ...], Field(min_length=1), Once]
    unpruned: Annotated[tuple[str, ...], Once] = ()
    policies: Annotated[tuple[str, ...], Once] = ()
    other_fusers: Annotated[tuple[str, ...], Once] = ()
    selectors: Annotated[tuple[Selector, ...], Once] = ()
    keep: Annotated[tuple[Ratio, ...], Field(min_length=1, validate_default=True), Once] = (1.0,)
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1), Once] = ("layer",)
    baselines: Annotated[tuple[Baseline, ...], Once] = _USUAL
    controls: Controls = Controls()
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
        _each_once(tuple(dataset.called for dataset in datasets))
        return datasets

    @field_validator("policies")
    @classmethod
    def _policies_are_whole(cls, policies: tuple[str, ...]) -> tuple[str, ...]:
        for policy in policies:
            if not _POLICY.fullmatch(policy):
                raise ValueError(f"{policy!r} is no policy; write for example budget=65536, bytes of one cache")
        return policies

    @field_validator("needs")
    @classmethod
    def _trainings_begin_with_another(cls, needs: dict[str, Need]) -> dict[str, Need]:
        for name, need in needs.items():
            if isinstance(need, Trained) and (need.start == name or need.start not in needs):
                raise ValueError(f"{name} is trained from {need.start!r}, which is no other fuser under `needs`")
        return needs

    @field_validator("controls")
    @classmethod
    def _controls_tell_something(cls, controls: Controls, info: ValidationInfo) -> Controls:
        if controls.zeroed and info.data.get("fuser") == "identity":
            raise ValueError(
                "zeroed: fuser identity has nothing of its own to say without the sharer; that control is the baseline "
                "receiver_only"
            )
        return controls

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


#: Tags that pydantic puts behind ``datasets.N`` and ``needs.NAME``.
_TAGS: dict[str, type[Part]] = TAGS | KINDS


def _place(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Where it stands in the file, without tags."""
    return tuple(part for depth, part in enumerate(location) if depth != 2 or part not in _TAGS)  # noqa: PLR2004


def _owner(location: Sequence[str | int]) -> type[Part]:
    """The part of a recipe that a key is in."""
    match location:
        case ("datasets" | "needs", _, str(tag), _):
            return _TAGS[tag]
        case ("controls", _):
            return Controls
        case _:
            return Recipe


def _defect(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"unknown key {error['loc'][-1]!r}; allowed: {', '.join(_owner(error['loc']).model_fields)}"
    if error["type"] == "missing":
        return f"{error['loc'][-1]} is missing"
    return message if error["type"] in ("value_error", "unknown_dataset") else f"{message}, not {error['input']!r}"
