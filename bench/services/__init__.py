"""Measurements of running services through the public client: one file each, run with ``python -m``.

May import: the client, the launcher of services, loadtest; the engine and the simulation, to hold services against; the
drawing of experiments. Add the next measurement beside these.
"""
