"""C2C's arithmetic against outputs of the official code, on tensors alone."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codec.layer import LayerKV
from codec.spec import RopePhase
from fuser.official.layout import read_official

# Shared outputs of the official code lie beside the shared datasets.
GOLDEN = Path(os.environ.get("KVWIRE_DATA", "absent")).parent / "golden"


@pytest.fixture(params=["c2c_fuser_a", "c2c_fuser_b"])
def golden(request):
    folder = GOLDEN / request.param
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; test_c2c.py holds the same arithmetic against float64")
    return folder


def test_outputs_are_the_official_codes(golden):
    """Every layer and batch entry within the README's 1e-5; behind a closed gate bit for bit."""
    fuser, cases = read_official(golden), load_file(golden / "cases.safetensors")
    gates = json.loads((golden / "cases.json").read_text())["gates"]
    for target, source in enumerate(cases["source_layer"].tolist()):
        assert fuser.source_layers(target) in {(source,), ()}
        for entry in range(2):
            given = {half: cases[f"source_{half}.{source}"][entry] for half in ("key", "value")}
            own = {half: cases[f"target_{half}.{target}"][entry] for half in ("key", "value")}
            kv = LayerKV(source, given["key"], given["value"], RopePhase.POST, given["key"].shape[1])
            fused = dict(zip(own, fuser.fuse(target, {source: kv}, *own.values()), strict=True))
            for half, before in own.items():
                wanted = cases[f"output_{half}.{target}"][entry]
                assert (fused[half] - wanted).abs().max() < 1e-5
                if not gates[target][f"{half}_open"]:
                    assert torch.equal(fused[half], before)
