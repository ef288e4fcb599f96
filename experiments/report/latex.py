"""The tables for a paper: each a ``tabular`` of the package booktabs, to be read in with input."""

from tabulate import tabulate

from experiments.report.table import Table


def latex_table(table: Table) -> str:
    """A table with its head; the first column is text, the others numbers. The last one of words breaks its lines."""
    head, *body = table.cells
    aligned = ["left"] * len(head) if table.words else ["left", *("right" for _ in head[1:])]
    # Numbers stay as they are written: their digits say how sure they are.
    text = tabulate(body, head, "latex_booktabs", disable_numparse=True, colalign=aligned)
    if table.words:
        text = text.replace("l}", r"p{.4\linewidth}}", 1)
    return f"{text}\n"
