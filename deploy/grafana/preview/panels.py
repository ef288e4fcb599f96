"""A dashboard's file, read as Grafana reads it: panels, and queries with variables filled in."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GRAFANA = Path(__file__).parents[1]
FILES = tuple(sorted((GRAFANA / "dashboards").glob("*.json")))


@dataclass(frozen=True)
class Dashboard:
    """One dashboard's file."""

    made: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> "Dashboard":
        """A dashboard from its file."""
        return cls(json.loads(file.read_text(encoding="utf-8")))

    @property
    def panels(self) -> list[dict[str, Any]]:
        """Those with queries: no rows."""
        return [panel for panel in self.made["panels"] if panel["type"] != "row"]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The variables whose values are asked of Prometheus."""
        return [variable for variable in self.made["templating"]["list"] if variable["type"] == "query"]

    def filled_in(self, query: str) -> str:
        """As Grafana sends it with everything chosen; a name it does not know stays as it is."""
        values = {choice["name"]: choice["allValue"] for choice in self.choices}
        values["__rate_interval"] = f"{rate_interval_s()}s"
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), query)


def scrape_interval_s() -> int:
    """What the data source is provisioned with."""
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    return int(source["jsonData"]["timeInterval"].removesuffix("s"))


def rate_interval_s() -> int:
    """``$__rate_interval`` of a graph whose points are a scrape apart: four scrapes."""
    return 4 * scrape_interval_s()


def legend(template: str, labels: Mapping[str, str]) -> str:
    """A series' name: labels put into a legend's template."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template).strip()
