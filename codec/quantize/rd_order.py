"""The order in which ``rd`` codes: per head, per class of tokens, per coefficient, the tokens."""

from typing import Any

import numpy as np

from codec.kernels.compile import loop


@loop
def lay_out(classes: Any, tables: Any, active: Any) -> Any:
    """Arrays, all int64: order, counts, run tables, run lengths, precise.

    classes: ``(heads, tokens)``, the last plus one for tokens that travel precisely; tables: ``(heads, classes, dim)``;
    active: ``(heads, classes)``, how many coefficients are sent.
    order: ``(heads, tokens)``, tokens by class, those of one in their order; counts: ``(heads, classes)``, of tokens;
    runs: ``(runs,)``, one per coefficient sent of a class that has tokens; precise: ``(2, tokens)``, heads and tokens.
    """
    heads, tokens = classes.shape
    kinds = active.shape[1]
    order, counts = np.empty((heads, tokens), np.int64), np.zeros((heads, kinds + 1), np.int64)
    ends = np.empty(kinds + 1, np.int64)
    runs = many = 0
    for h in range(heads):
        for t in range(tokens):
            counts[h, classes[h, t]] += 1
        total = 0
        for c in range(kinds + 1):
            ends[c] = total
            total += counts[h, c]
        for t in range(tokens):
            order[h, ends[classes[h, t]]] = t
            ends[classes[h, t]] += 1
        for c in range(kinds):
            runs += active[h, c] if counts[h, c] > 0 else 0
        many += counts[h, kinds]
    run_tables, run_lengths, precise = np.empty(runs, np.int64), np.empty(runs, np.int64), np.empty((2, many), np.int64)
    run = at = 0
    for h in range(heads):
        for c in range(kinds):
            for j in range(active[h, c] if counts[h, c] > 0 else 0):
                run_tables[run], run_lengths[run] = tables[h, c, j], counts[h, c]
                run += 1
        for t in range(tokens - counts[h, kinds], tokens):
            precise[0, at], precise[1, at] = h, order[h, t]
            at += 1
    return order, counts[:, :kinds].copy(), run_tables, run_lengths, precise
