"""Outputs of the official C2C code, through two services and the wire between them."""

import os
from pathlib import Path

import pytest

from kvwire.verify.run import verify

GOLDEN = Path(os.environ.get("KVWIRE_DATA", "absent")).parent / "golden"


_FUSERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("c2c_fuser_a", "c2c_fuser_b")]


@pytest.mark.parametrize("name", [*_FUSERS, "c2c_e2e"])
async def test_official_outputs_come_out_of_two_services(name, tmp_path, monkeypatch):
    """Within 1e-4 of logits and caches, the same greedy tokens, and something was really sent."""
    folder = GOLDEN / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; test_fuse.py does the same on random checkpoints against float64")
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    compared = await verify(folder)
    assert compared.kv_max_abs_diff < 1e-4
    assert compared.payload_bytes > 0
    if name == "c2c_e2e":
        assert compared.logits_max_abs_diff < 1e-4
        assert compared.tokens_equal
