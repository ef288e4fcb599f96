"""A service compiles its loops before its first request."""

import subprocess
import sys

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
