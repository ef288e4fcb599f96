"""``python -m deploy.grafana.source``: write the dashboards' files."""

from pathlib import Path

from deploy.grafana.source.files import files

for name, text in files().items():
    (Path(__file__).parents[1] / "dashboards" / name).write_text(text, encoding="utf-8")
