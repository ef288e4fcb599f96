"""The dashboards as code, one file each; ``make dashboards`` writes ``deploy/grafana/dashboards`` from them.

May import the Grafana Foundation SDK. A further dashboard is one file and one line of ``DASHBOARDS`` in ``files.py``.
"""
