"""How much memory a service may plan with."""

import os

import pytest
import torch

from kvwire.engine.machine import memory_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], MACHINE),
        (["max"], MACHINE),
        (["1048576\n"], 1 << 20),
        (["9223372036854771712"], MACHINE),  # what version 1 says for no limit
    ],
)
def test_a_containers_limit_counts_if_it_is_below_the_machines_memory(tmp_path, limits, expected):
    """As control groups write it."""
    paths = [tmp_path / str(index) for index in range(len(limits))]
    for path, limit in zip(paths, limits, strict=True):
        path.write_text(limit)
    assert memory_bytes(torch.device("cpu"), (*paths, tmp_path / "absent")) == expected
