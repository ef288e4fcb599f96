"""``python -m deploy.grafana.preview``: a real pair, a real Prometheus, a real load, and a picture of each dashboard.

Writes ``docs/figures/grafana-NAME-preview.png``. Takes four minutes; the numbers are fair on a machine to itself.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from deploy.grafana.preview.load import DURATION_S, GONE, drive
from deploy.grafana.preview.page import page
from deploy.grafana.preview.panels import FILES, Dashboard, scrape_interval_s
from deploy.grafana.preview.picture import photograph
from deploy.grafana.preview.prometheus import Span, running_prometheus
from kvwire.errors import StartError
from kvwire.processes import Pair, running_pair

_MODEL = "smollm2-135m"
_FIGURES = Path(__file__).parents[3] / "docs" / "figures"


def main() -> None:
    """Draw all dashboards.

    Raises:
        StartError: Prometheus or Chromium is not here, or a service does not start.
    """
    prometheus_program, chromium = _program("prometheus"), _program("chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = ["--threads", "1", "--log-level", "warning"]
        with (
            running_pair(Pair(_MODEL, _MODEL), arguments, folder, receiver_arguments=["--sharers", GONE]) as pair,
            running_prometheus(prometheus_program, folder, *pair, f"{scrape_interval_s()}s") as prometheus,
        ):
            start_s = time.time()
            asyncio.run(drive(*pair))
            span = Span(start_s, start_s + DURATION_S, scrape_interval_s())
            for file in FILES:
                made = page(Dashboard.read(file), prometheus, span, _load_told())
                picture = _FIGURES / f"grafana-{file.stem.removeprefix('kvwire-')}-preview.png"
                photograph(chromium, made, picture)
                sys.stdout.write(f"{picture} {picture.stat().st_size / 1e3:.0f} kB\n")


def _load_told() -> str:
    cores, day = os.cpu_count(), datetime.now(UTC).date()
    return (
        f"Measured on {day}: {_MODEL} on both sides, one thread each, {cores} CPU cores that were not reserved. "
        f"Open loops of six methods for {DURATION_S:.0f} s; requests for a sharer that is gone from 0:50 to 1:40, "
        f"a burst of some 30 at 2:10; scraped every {scrape_interval_s()} s."
    )


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StartError(f"{name} is not here; the pictures need it")
    return path


main()
