"""Measurements of running services through the public client: one file each, run with ``python -m``.

May import: the client, the launcher of services, loadtest. Add the next measurement beside these.
"""
