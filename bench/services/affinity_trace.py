"""A trace of questions on documents, some of which are asked about far more often than others; kept as a file.

A line of JSON for each request, in order: the id of a question of XQuAD (loadtest/datasets/xquad_en.py), whose
paragraph is the context. Paragraphs are drawn with a popularity of rank to the power of -0.8 (Zipf-like; page requests
seen by web caches have exponents of 0.64 to 0.83: L. Breslau et al., Web Caching and Zipf-like Distributions, INFOCOM
1999), the question evenly among the paragraph's. It was drawn, not taken down from users.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kvwire.errors import InvalidRequestError
from loadtest.datasets import SpanItem

EXPONENT = 0.8


def draw(items: Sequence[SpanItem], contexts: int, requests: int, seed: int = 0) -> list[SpanItem]:
    """So many requests on so many of the items' contexts; the same for the same seed.

    Raises:
        InvalidRequestError: There are fewer contexts.
    """
    by_context: dict[str, list[SpanItem]] = {}
    for item in items:
        by_context.setdefault(item.context, []).append(item)
    if len(by_context) < contexts:
        raise InvalidRequestError(f"{contexts} contexts were asked for, the set has {len(by_context)}; ask for less")
    generator = np.random.default_rng(seed)
    # Which paragraph is popular has nothing to do with where it stands in the file.
    chosen = [list(by_context.values())[index] for index in generator.permutation(len(by_context))[:contexts]]
    weights = np.arange(1, contexts + 1) ** -EXPONENT
    ranks = generator.choice(contexts, requests, p=weights / weights.sum())
    return [chosen[rank][generator.integers(len(chosen[rank]))] for rank in ranks]


def write(trace: Sequence[SpanItem], path: Path) -> None:
    """A line for each request."""
    path.write_text("".join(json.dumps({"question": item.id}) + "\n" for item in trace), encoding="utf-8")


def read(path: Path, items: Sequence[SpanItem]) -> list[SpanItem]:
    """The requests of a file.

    Raises:
        InvalidRequestError: It does not read, or names a question that is not among the items.
    """
    by_id = {item.id: item for item in items}
    try:
        return [by_id[json.loads(line)["question"]] for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{path} is no trace of these questions: {type(error).__name__}: {error}") from error
