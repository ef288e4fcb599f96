"""The dashboards' files: their names and exact text."""

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.source import bandwidth, capacity, latency, quality

DASHBOARDS = (bandwidth.DASHBOARD, latency.DASHBOARD, capacity.DASHBOARD, quality.DASHBOARD)


def files() -> dict[str, str]:
    """Name and text of each file in ``deploy/grafana/dashboards``."""
    return {f"{made.uid}.json": f"{JSONEncoder(indent=2).encode(made)}\n" for made in DASHBOARDS}
