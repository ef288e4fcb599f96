"""One pair that is hurt again and again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.services.faults.laboratory import Laboratory, laboratory

ONE_THREAD = ("--threads", "1", "--log-level", "warning")


@pytest.fixture(scope="session", autouse=True)
def in_own_store(own_store: None) -> None:
    """Services of these tests remember fingerprints in a store of their own."""


@pytest.fixture(scope="session")
def lab(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A tiny Llama on both sides, and a link between them that breaks on demand."""
    with laboratory(f"path:{tiny_llama}", tmp_path_factory.mktemp("logs"), *ONE_THREAD) as found:
        yield found
