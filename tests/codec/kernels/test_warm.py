"""A service compiles its loops before its first request."""

import subprocess
import sys
from pathlib import Path

_WARMED = """
import torch
from codec.kernels import eightbit, fourbit
from codec.warm import warm
warm(torch.bfloat16)
loops = (eightbit._encode, eightbit._decode, fourbit._encode, fourbit._decode)
print(all("uint16" in str(loop.signatures) or "decode" in loop.__name__ for loop in loops if loop.signatures)
      and all(loop.signatures for loop in loops))
"""


def test_a_fresh_process_has_all_loops_after_warming():
    """For numbers of the type that the model computes in."""
    done = subprocess.run([sys.executable, "-c", _WARMED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


_WARMED_RD = """
import numpy as np, torch
from codec.calibration import Calibration, serialize
from codec.entropy import rans_loops
from codec.quantize import rd_maps, rd_transform
from codec.warm import warm
with np.load("tests/golden/codec/rd-tables.npz") as stored:
    warm(torch.bfloat16, Calibration.parse(serialize("nobody/none", bytes(32), dict(stored)), "golden tables"))
loops = (rans_loops.encode, rans_loops.decode, rd_maps.lay_out)
loops += (rd_transform.analyse, rd_transform.symbols, rd_transform.restore)
print(all(loop.signatures for loop in loops))
"""


def test_a_service_with_a_calibration_has_the_loops_of_rd_too():
    """So that its first request with rd waits for no compiler."""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", _WARMED_RD], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
