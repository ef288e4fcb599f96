"""An open-loop load on one self-contained page: how fast answers were, when, and whether the tester can be believed."""

from collections.abc import Sequence
from html import escape
from typing import Any

from experiments.report.axis import axis_for, number_text, text_of
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend
from experiments.report.style import FIGURE, PAGE

_LATENCIES = {"TTFT": "ttft_ms", "end to end": "e2e_ms"}
_SHARES = 200  # points of a distribution, evenly over its shares
# Requests are points that no line joins; a distribution is a line.
_STYLE = ".dots .line,.curve path[transform],.curve .error{display:none}.dots path{fill-opacity:.45;stroke:none}"
_STYLE += ".dots .grid,.dots .frame{stroke:#bbb}"


def load_page(title: str, result: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str:
    """The page of a run's result and its requests, as :mod:`loadtest.load_report` makes them."""
    answered = [line for line in lines if line["error"] is None]
    drawn = [*_panels(answered, lines)] if answered else []
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{PAGE}{FIGURE}{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p><strong>{escape(_verdict(result))}</strong></p>"
        f'<div class="panels">{"".join(drawn)}</div>'
        f'<h2>Figures</h2><div class="scroll"><table>{_rows(result)}</table></div>'
        f"<h2>Stages</h2><div class='scroll'><table>{_stages(result)}</table></div></body></html>\n"
    )


def _verdict(result: dict[str, Any]) -> str:
    lag = result["scheduler_lag_ms"]
    late = f"the tester's own lag p99 is {lag['p99']:.2f} ms" if lag else "no request was due"
    return f"{'Valid' if result['valid'] else 'NOT VALID'}: {late}; {result['failed']} of {result['items']} failed."


def _panels(answered: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> list[str]:
    over_time = _panel("latency by when a request was due", [_timeline(*each, answered) for each in _named()])
    spread = _panel("requests answered within", [_distribution(*each, answered) for each in _named()])
    lag = _panel("how late the tester was", [Series("lag", 2, _points(lines, "due_s", "lag_ms"))])
    return [
        _looking("dots", _drawn(over_time, "milliseconds", "seconds from the start", share=False)),
        _looking("curve", _drawn(spread, "share of the answered", "milliseconds", share=True)),
        _looking("dots", _drawn(lag, "milliseconds", "seconds from the start", share=False)),
        legend(over_time, axis_for([0, 1], 0, 1, log=False, text=number_text), "every request that was answered"),
    ]


def _looking(how: str, panel: str) -> str:
    return panel.replace('class="figure"', f'class="figure {how}"', 1)


def _named() -> list[tuple[str, str, int]]:
    return [(name, key, style) for style, (name, key) in enumerate(_LATENCIES.items())]


def _timeline(name: str, key: str, style: int, lines: Sequence[dict[str, Any]]) -> Series:
    return Series(name, style, _points(lines, "due_s", key))


def _distribution(name: str, key: str, style: int, lines: Sequence[dict[str, Any]]) -> Series:
    values = sorted(line[key] for line in lines)
    shares = [(at + 1) / min(_SHARES, len(values)) for at in range(min(_SHARES, len(values)))]
    found = [(values[max(0, round(share * len(values)) - 1)], share) for share in shares]
    return Series(
        name, style, tuple(_point(value, share, f"{share:.0%} within {value:.0f} ms") for value, share in found)
    )


def _points(lines: Sequence[dict[str, Any]], x: str, y: str) -> tuple[Point, ...]:
    return tuple(_point(line[x], line[y], f"{line['id']}: {line[y]:.1f} ms") for line in lines)


def _point(x: float, y: float, label: str) -> Point:
    return Point(x, y, y, y, label)


def _panel(title: str, series: Sequence[Series]) -> Panel:
    return Panel(title, tuple(series), (), ())


def _drawn(panel: Panel, y_label: str, x_label: str, *, share: bool) -> str:
    points = [point for series in panel.series for point in series.points]
    x = axis_for([point.x for point in points], LEFT, WIDTH - RIGHT, log=False, text=number_text)
    y = axis_for([0.0, *(point.y for point in points)], HEIGHT - BOTTOM, TOP, log=False, text=text_of(share=share))
    return draw(panel, x, y, y_label, x_label)


def _rows(result: dict[str, Any]) -> str:
    rows = [
        ("requests counted", result["items"]),
        ("offered per second", f"{result['offered_rps']:.3f}"),
        ("answered per second", f"{result['answered_rps']:.3f}"),
        ("goodput per second", f"{result['goodput']['rps']:.3f}"),
        *((f"{name} p50, p95, p99, ms", _three(result[key])) for name, key in _LATENCIES.items()),
        ("ITL p50, p95, p99, ms", _three(result["itl_ms"])),
        ("tester's lag p50, p95, p99, ms", _three(result["scheduler_lag_ms"])),
        ("accuracy", f"{result['accuracy']:.3f}"),
        ("bytes per request", f"{result['wire_bytes_per_request']:.0f} ({result['wire_bytes_source']})"),
    ]
    return "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows)


def _three(found: dict[str, float] | None) -> str:
    return "none" if found is None else ", ".join(f"{found[which]:.1f}" for which in ("p50", "p95", "p99"))


def _stages(result: dict[str, Any]) -> str:
    stages = sorted(result["stages_mean_ms"].items(), key=lambda each: -each[1])
    return "<tr><th>stage</th><th>mean, ms</th></tr>" + "".join(
        f"<tr><td>{escape(name)}</td><td>{value:.2f}</td></tr>" for name, value in stages
    )
