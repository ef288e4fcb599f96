"""Draws the documentation's figures from the results that are committed beside them: ``python -m bench.figures``."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import plot as codecs
from bench.results import read
from bench.row import Row
from bench.services import crossover_figure, growth, growth_plot, simulated_figure
from experiments.report import write_report

DOCS = Path(__file__).parents[1] / "docs"
_LOADS = ("length", "concurrency")

#: Of a local run's report, by what the documentation calls them.
LOCAL = {
    "local-grid-self-kl.svg": "grid-self-wikitext2-kl_nats.svg",
    "local-rd-net-gain.svg": "rd-local-wikitext2-net_gain.svg",
}

#: Pictures, and drawings whose results are not kept; what makes them anew.
NOT_FROM_FILES = {
    "first-curve-openbookqa-accuracy.svg": "kvwire experiment run first-curve, then report; 46 minutes",
    "first-curve-wikitext2-kl_nats.svg": "the same",
    "fault-soak.svg": "python -m bench.services.fault_soak; an hour, its requests are not kept",
    "fuser-net-gain.svg": "kvwire experiment run fusers, then report; its numbers are in fuser-net-gain.json",
    "sensitivity-smollm2.svg": "kvwire codec profile --plot",
    "timeline.svg": "python -m bench.services.timeline_figure: one request, measured as it is drawn",
    "trace.svg": "python -m bench.services.trace_figure: the same",
    "grafana-bandwidth-preview.png": "make dashboard-previews",
    "grafana-capacity-preview.png": "make dashboard-previews",
    "grafana-latency-preview.png": "make dashboard-previews",
    "grafana-quality-preview.png": "make dashboard-previews",
    "live-page-dark.png": "a photograph of the live page under load",
    "live-page-light.png": "the same",
    "live-page-phone.png": "the same",
}


def drawn() -> dict[str, str]:
    """Every figure that is made of committed results, by its file."""
    return {name: draw() for name, draw in OWN.items()} | _local()


def _found(name: str) -> Any:
    return json.loads((DOCS / "figures" / f"{name}.json").read_text(encoding="utf-8"))


def _growth() -> str:
    found = _found("growth")
    return growth_plot.plot({load: [growth.Row(**row) for row in found[load]["rows"]] for load in _LOADS})


#: Each made of one file.
OWN: Mapping[str, Callable[[], str]] = {
    "codec-bench.svg": lambda: codecs.plot([row for row in read([DOCS / "codec-bench.json"]) if isinstance(row, Row)]),
    "crossover.svg": lambda: crossover_figure.plot(_found("crossover")["cells"]),
    "growth.svg": _growth,
    "simulated.svg": lambda: simulated_figure.plot(_found("simulated")),
}


def _local() -> dict[str, str]:
    """Of the report that is made of the local run's lines."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(DOCS / "local-run", run)
        write_report(run)
        return {name: (run / "figures" / made).read_text(encoding="utf-8") for name, made in LOCAL.items()}


if __name__ == "__main__":
    for name, text in drawn().items():
        (DOCS / "figures" / name).write_text(text, encoding="utf-8")
