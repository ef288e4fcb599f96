"""Results as tables for the documentation, one per model and length; what is absent is named below them."""

from collections.abc import Sequence

from bench.row import Absent, Result, Row, name_of

_PAGE = """# Codec bench: all rows

Written by `kvwire codec report`; [what the columns mean](codec-bench.md). KL in nats per token; speeds in GB/s.
"""
_HEAD = "| codec | bits per value | KL | 95 % interval | top-1 | encode | decode |\n|---|---|---|---|---|---|---|\n"
_SMALL, _SLOW = 0.001, 0.01


def by_place(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results of each model and length, under a title."""
    found: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        found.setdefault((result.model, result.tokens), []).append(result)
    return {_title(*place, those): those for place, those in found.items()}


def markdown(results: Sequence[Result]) -> str:
    """A page of all tables, with a heading each."""
    tables = "".join(f"\n## {title}\n\n{_table(those)}" for title, those in by_place(results).items())
    return f"{_PAGE}\n{tables}"


def absences(results: Sequence[Result]) -> list[str]:
    """A line for each reason: who is absent for it."""
    reasons: dict[tuple[str, str], list[Absent]] = {}
    for result in results:
        if isinstance(result, Absent):
            reasons.setdefault((result.peer, result.absent), []).append(result)
    return [f"absent: {', '.join(str(name_of(each)) for each in those)}: {why}" for (_, why), those in reasons.items()]


def _title(model: str, tokens: int, results: Sequence[Result]) -> str:
    counts = sorted({row.documents for row in results if isinstance(row, Row)})
    return f"{model}, {tokens} tokens, {' to '.join(map(str, counts[:: max(1, len(counts) - 1)]))} documents"


def _table(results: Sequence[Result]) -> str:
    rows = "".join(_line(result) for result in results if isinstance(result, Row))
    return _HEAD + rows + "".join(f"\n{line}\n" for line in absences(results))


def _line(row: Row) -> str:
    low, high = row.kl_ci95
    numbers = (f"{row.bits_per_value:.2f}", _kl(row.kl), f"{_kl(low)} to {_kl(high)}", f"{100 * row.top1:.1f} %")
    return f"| `{name_of(row)}` | {' | '.join((*numbers, _speed(row.encode_gbps), _speed(row.decode_gbps)))} |\n"


def _speed(gbps: float) -> str:
    return f"{gbps:.2f}" if gbps >= _SLOW else f"{gbps:.1g}"


def _kl(nats: float) -> str:
    return f"{nats:.4f}" if nats >= _SMALL else f"{nats:.2g}"
