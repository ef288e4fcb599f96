"""Evaluation sets, one file each, as frozen items. May import ``kvwire.errors`` and the hub client, nothing else.

A new set is one file with a loader from ``Query`` to a list of items, and one line in the table of its shape: choices
(``load``), answers found in a text (``load_spans``), or text to be continued (``load_continuations``).
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import wikitext2, wikitext2_ends, xquad_contexts
from loadtest.datasets.arc import load_challenge, load_easy
from loadtest.datasets.cut import Cut
from loadtest.datasets.file import load_file
from loadtest.datasets.item import ContinuationItem, Item, SpanItem
from loadtest.datasets.mmlu_redux import load_mmlu_redux
from loadtest.datasets.openbookqa import load_openbookqa
from loadtest.datasets.pocket import load_pocket
from loadtest.datasets.source import Fetch, Query, fetch_from_hub
from loadtest.datasets.training_text import training_text
from loadtest.datasets.xquad_en import load_xquad_en

__all__ = [
    "CONTINUATION_LOADERS",
    "LOADERS",
    "SPAN_LOADERS",
    "ContinuationItem",
    "Item",
    "SpanItem",
    "load",
    "load_continuations",
    "load_spans",
    "training_text",
]

LOADERS: Mapping[str, Callable[[Query], list[Item]]] = {
    "arc_challenge": load_challenge,
    "arc_easy": load_easy,
    "mmlu_redux": load_mmlu_redux,
    "openbookqa": load_openbookqa,
    "pocket": load_pocket,
}
SPAN_LOADERS: Mapping[str, Callable[[Query], list[SpanItem]]] = {"xquad_en": load_xquad_en}
#: Each with the lengths it is cut at unless others are asked for.
CONTINUATION_LOADERS: Mapping[str, tuple[Callable[[Query, Cut], list[ContinuationItem]], Cut]] = {
    "wikitext2": (wikitext2.load_wikitext2, wikitext2.LENGTHS),
    "wikitext2_ends": (wikitext2_ends.load_wikitext2_ends, wikitext2_ends.LENGTHS),
    "xquad_contexts": (xquad_contexts.load_xquad_contexts, xquad_contexts.LENGTHS),
}


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    split: str = "test",
    open_book: bool = False,
    limit: int | None = None,
    fetch: Fetch = fetch_from_hub,
) -> list[Item]:
    """Multiple-choice items of a dataset by name: one of ``LOADERS`` or ``file:PATH``.

    ``data_dir`` is a folder of local files, the only place looked at when given; without it the hub is asked.
    ``open_book`` puts each item's fact into its context (``pocket`` always does). ``limit`` takes the first so many
    items in file order, or all if there are fewer; the whole file is checked either way.

    Raises:
        NotFoundError: No dataset of that name, or its file is in none of the places looked at.
        InvalidRequestError: A defective row (with file and line), an unknown split, facts asked of a set that has
            none, or a limit below 1.
    """
    _check_limit(limit)
    query = Query(data_dir=data_dir, split=split, open_book=open_book, fetch=fetch)
    if name.startswith("file:"):
        path = os.path.expanduser(name.removeprefix("file:"))  # noqa: PTH111  # takes an unknown ~somebody literally
        return load_file(Path(path), query)[:limit]
    if name not in LOADERS:
        raise NotFoundError(f"no multiple-choice dataset {name!r}; there are {', '.join(LOADERS)} and file:PATH")
    return LOADERS[name](query)[:limit]


def load_spans(
    name: str,
    *,
    data_dir: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    fetch: Fetch = fetch_from_hub,
) -> list[SpanItem]:
    """Reading questions of a dataset in ``SPAN_LOADERS``; options and errors as ``load``'s."""
    _check_limit(limit)
    if name not in SPAN_LOADERS:
        raise NotFoundError(f"no reading dataset {name!r}; there is {', '.join(SPAN_LOADERS)}")
    return SPAN_LOADERS[name](Query(data_dir=data_dir, split=split, open_book=True, fetch=fetch))[:limit]


def load_continuations(
    name: str,
    *,
    data_dir: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    context_characters: int | None = None,
    continuation_characters: int | None = None,
    fetch: Fetch = fetch_from_hub,
) -> list[ContinuationItem]:
    """Texts of a dataset in ``CONTINUATION_LOADERS``, cut at the given lengths or its own; the rest as ``load``'s."""
    _check_limit(limit)
    if name not in CONTINUATION_LOADERS:
        raise NotFoundError(f"no continuation dataset {name!r}; there is {', '.join(CONTINUATION_LOADERS)}")
    loader, usual = CONTINUATION_LOADERS[name]
    cut = Cut(
        usual.context_characters if context_characters is None else context_characters,
        usual.continuation_characters if continuation_characters is None else continuation_characters,
    )
    return loader(Query(data_dir=data_dir, split=split, open_book=True, fetch=fetch), cut)[:limit]


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise InvalidRequestError(f"limit {limit} leaves no items; give at least 1")
