"""The tables as Markdown, to be pasted into a document."""

from collections.abc import Sequence

from experiments.report.table import Cells


def markdown_table(cells: Cells) -> str:
    """A table with its head; the first column is text, the others numbers."""
    head, *body = cells
    rule = ["---", *("---:" for _ in head[1:])]
    return "".join(_line(cells) for cells in (head, rule, *body))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"
