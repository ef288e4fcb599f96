"""A discrete-event model of sharers, receivers and the links between them: who waits where, and for how long.

Knows numbers only, never a service: service times come from a file that ``bench.services.service_times`` measured, and
how requests queue, batch and stream is written down here as the services do it. May import: simpy, numpy, pydantic,
``kvwire.errors``, and what reads arrivals, rates and YAML elsewhere. A new place to wait is one file, put together with
the others in ``system.py``.
"""
