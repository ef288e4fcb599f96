"""Encoding gives one result: whatever the process, its hash seed, and its number of threads; decoding likewise."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.calibration import Calibration, serialize
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable
from codec.spec import CodecSpec, RopePhase

SPECS = (
    *("fp32", "fp16", "bf16", "fp8", "int8", "int8:per=head", "int4", "nf4+rope=pre", "kivi", "hadamard:bits=3"),
    *("rd:step=110", "int4+keep=0.5,by=random+entropy=zstd", "int8+mix=k@nf4"),
)
TABLES = Path(__file__).parents[1] / "golden" / "codec" / "rd-tables.npz"

_DIGESTS = """
import hashlib, sys
import torch
from tests.codec.test_same_bytes import SPECS, frame_of, numbers_of
torch.set_num_threads(int(sys.argv[1]))
frames = [(spec, frame_of(spec)) for spec in SPECS]
print(hashlib.sha256(b"".join(frame + numbers_of(spec, frame) for spec, frame in frames)).hexdigest())
"""


def codec(spec):
    with np.load(TABLES) as stored:
        tables = Calibration.parse(serialize("nobody/none", bytes(32), dict(stored)), "golden tables")
    rope = RopeTable((LayerRope(torch.logspace(0, -3, 8)),) * 2)
    return Codec(CodecSpec.parse(spec), rope, tables)


def layer(heads, tokens, phase, seed=5):
    x = torch.randn((2, heads, tokens, 16), generator=torch.Generator().manual_seed(seed))
    return LayerKV(1, x[0], x[1], phase, tokens)


def frame_of(spec, heads=2, tokens=6000):
    phase = RopePhase.PRE if spec.startswith("rd") else RopePhase.POST
    return codec(spec).encode_layer(layer(heads, tokens, phase), torch.arange(tokens))


def numbers_of(spec, frame):
    kv = codec(spec).decode_layer(frame, Limits())
    return kv.keys.numpy().tobytes() + kv.values.numpy().tobytes()


def test_every_spec_gives_the_same_bytes_and_numbers_in_other_processes_and_on_other_threads():
    """Two processes with other hash seeds, one on one thread, one on two."""
    root = Path(__file__).parents[2]
    runs = [
        subprocess.run(
            [sys.executable, "-c", _DIGESTS, threads],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads, seed in (("1", "1"), ("2", "2"))
    ]
    assert runs[0] == runs[1] != ""


@pytest.mark.parametrize("spec", SPECS)
def test_32k_tokens_come_back(spec):
    """One head of 32,768 tokens, each within what its base promises of a normal number."""
    tokens = 1 << 15
    if spec.startswith("rd"):  # the golden tables are of two heads
        kv, frame = layer(2, tokens, RopePhase.PRE), frame_of(spec, 2, tokens)
    else:
        kv, frame = layer(1, tokens, RopePhase.POST), frame_of(spec, 1, tokens)
    back = codec(spec).decode_layer(frame, Limits())
    kept = slice(None) if back.slots is None else back.slots
    assert back.values.shape == kv.values[:, kept].shape
    error = (back.values - kv.values[:, kept]).square().mean() / kv.values.square().mean()
    assert float(error) < 0.06
