"""A receiver without metrics."""

from bench.services.bare import run

run("receiver_service")
