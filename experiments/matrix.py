"""The matrix, row by row: what each asks, and which of the recipes we ship measures it.

A row stands for the literature's pair of models. The same row with ``-local`` is of a pair of models that runs on a
CPU, with ``-self`` of one model on both sides. Which recipe measures what stands in the recipes, under ``row``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.recipe import SHIPPED, NamedRecipe, load_recipe

ROWS: Mapping[str, str] = {
    "A1": "each model alone, and text between them",
    "A2": "the cache in 16 bits, and its controls",
    "B1": "int8, a scale per token and head",
    "B2": "int8, a scale per head",
    "B3": "int4 in blocks",
    "B4": "NF4 in blocks",
    "B5": "fp8",
    "C1": "int8 of half of the tokens, by every selector, per layer and per head",
    "C2": "int8 of a quarter of the tokens",
    "C3": "int8 of a tenth of the tokens",
    "D1": "a fuser trained behind int8, a scale per token and head",
    "D2": "a fuser trained behind int8, a scale per head",
    "D3": "INT4, INT8 and FP16 mixed, by hand and by a number of bytes",
    "E1": "a sharer of the Llama family",
    "E2": "a sharer of the Gemma family",
    "RD": "rd at 3, 2, 1.5 and 1 bits",
    "GRID": "every precision at every ratio of tokens",
    "LEN": "contexts of 16 to 2,000 tokens",
    "PAIRS": "every ordered pair of families",
    "ACC": "accuracy where only the sharer knows the fact",
}
VARIANTS = ("", "-local", "-self")


@dataclass(frozen=True)
class Entry:
    """One row as one recipe measures it."""

    row: str
    title: str
    named: NamedRecipe

    @property
    def variant(self) -> str:
        """What follows the row's letter and number."""
        return variant(self.row)


def variant(row: str) -> str:
    """Of which models a row is: one of ``VARIANTS``."""
    return next((each for each in VARIANTS[1:] if row.endswith(each)), "")


def entries() -> list[Entry]:
    """Every row of every recipe we ship, in the order of the table; of a row, the literature's recipe first."""
    found = [load_recipe(path.stem) for path in sorted(SHIPPED.glob("*.yaml"))]
    return [
        Entry(f"{row}{suffix}", title, named)
        for row, title in ROWS.items()
        for suffix in VARIANTS
        for named in found
        if f"{row}{suffix}" in named.recipe.row
    ]


def recipes_of(*variants: str) -> list[NamedRecipe]:
    """The recipes that measure rows of these variants, each once, in the order of the table."""
    found = {entry.named.name: entry.named for entry in entries() if entry.variant in variants}
    return list(found.values())
