"""Recipes of what to measure, the runner that measures it over the real wire, and the statistics and report of it.

May import: the client, the values in ``kvwire.requests`` and ``kvwire.report``, ``kvwire.errors``, ``kvwire.official``,
``loadtest``, numpy, yaml, pydantic; never services, codecs or models (``harness/`` has a rule of its own). A new shape
of question is one file in ``questions/``, a new metric one line in ``metrics``.
"""
