"""A sharer without metrics."""

from bench.services.bare import run

run("sharer_service")
