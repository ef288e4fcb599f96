"""Every number of every arm as CSV, one line per recipe, dataset and arm."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.curves import Row


def csv_text(rows: Sequence[tuple[str, Row]]) -> str:
    """``rows`` with their recipe's name. Shares from 0 to 1, times in milliseconds; empty where there is no number."""
    lines = [_line(recipe, row) for recipe, row in rows]
    columns = dict.fromkeys(key for line in lines for key in line)
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return written.getvalue()


def _line(recipe: str, row: Row) -> dict[str, Any]:
    arm = row.arm
    return {
        "recipe": recipe,
        "dataset": row.dataset,
        "arm": arm.name,
        "method": arm.method.value,
        "codec": arm.codec,
        "keep": arm.keep if arm.codec else "",
        "selector": arm.selector,
        "scope": arm.scope,
        "fuser": arm.fuser if arm.codec else "",
        "policy": arm.policy,
        "control": arm.control,
        "wrong_context": arm.wrong_context,
        "items": row.items,
        "failed": row.failed,
        **{key: "" if value is None else value for key, value in vars(row.costs).items()},
        **dict(_flat(row)),
    }


def _flat(row: Row) -> Iterable[tuple[str, Any]]:
    for name, estimate in row.estimates.items():
        yield name, estimate.value
        yield f"{name}_low", estimate.low
        yield f"{name}_high", estimate.high
        yield f"{name}_items", estimate.items
    for other, found in row.versus.items():
        against = "uncompressed" if other.endswith("fp32") else other
        for metric, comparison in found.items():
            for key, value in comparison._asdict().items():
                yield f"{metric}_vs_{against}_{key}", "" if value is None else value
