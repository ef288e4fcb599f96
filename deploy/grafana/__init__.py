"""Grafana: dashboards (made from ``source``), their pictures (drawn by ``preview``), and how they are provisioned."""
