"""How numbers are written in the units that the dashboards use."""

from collections.abc import Callable

_DECIMAL = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def written(unit: str) -> Callable[[float], str]:
    """The writer of a unit by Grafana's name for it.

    Raises:
        KeyError: No panel uses it yet; add it here.
    """
    if unit.startswith("suffix:"):
        return lambda value: f"{value:.3g} {unit.removeprefix('suffix:')}"
    return _WRITERS[unit]


def _seconds(value: float) -> str:
    if value >= 1 or value == 0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"  # noqa: PLR2004  # a millisecond


def _decimal(unit: str) -> Callable[[float], str]:
    def write(value: float) -> str:
        size, prefix = next(((size, prefix) for size, prefix in _DECIMAL if value >= size), (1.0, ""))
        return f"{value / size:.3g} {prefix}{unit}"

    return write


_WRITERS: dict[str, Callable[[float], str]] = {
    "s": _seconds,
    "Bps": _decimal("B/s"),
    "bytes": _decimal("B"),
    "reqps": lambda value: f"{value:.3g}/s",
    "percentunit": lambda value: f"{100 * value:.3g} %",
    "none": lambda value: f"{value:.3g}",
}
