"""Coverage-guided fuzzing of the frame decoder: ``make fuzz``, or ``python tests/fuzz/frames.py -max_total_time=600``.

Whatever the bytes, decoding ends soon, within memory, and with a cache or one of the two errors it documents. Mutated
bodies get a right checksum, or nothing behind it would ever be reached. Seeds are the golden frames, those of ``rd``
with their tables.
"""

import resource
import sys
import tempfile
import zlib
from pathlib import Path

import atheris
import numpy as np

from kvwire.errors import BindingError, DataLossError

# What numba compiles must not be instrumented.
_KERNELS = sorted((Path(__file__).parents[2] / "codec" / "kernels").glob("*.py"))
_LOOPS = [
    *(f"codec.kernels.{file.stem}" for file in _KERNELS),
    *("codec.entropy.rans_loops", "codec.quantize.rd_maps", "codec.quantize.rd_transform"),
]

with atheris.instrument_imports(include=["codec"], exclude=_LOOPS):
    from codec import frame
    from codec.calibration import Calibration, serialize
    from codec.codec import decode_layer

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
with np.load(GOLDEN / "rd-tables.npz") as _stored:
    _TABLES = Calibration.parse(serialize("nobody/none", bytes(32), dict(_stored)), "golden tables")
_BODY_AT = 8
_SMALL = frame.Limits(max_layers=64, max_kv_heads=16, max_head_dim=256, max_tokens=4096, max_decoded_bytes=1 << 20)
# The largest cache these limits allow is 1 MiB; the rest is room for the fuzzer's own corpus.
_HEADROOM_BYTES = 512 << 20
_TIMEOUT_S = 10


def decode(body: bytes) -> None:
    """One run: any other exception, and running out of memory, is a finding."""
    data = frame.MAGIC + bytes([frame.VERSION]) + zlib.crc32(body).to_bytes(4, "little") + body
    try:
        decode_layer(data, _SMALL, calibration=_TABLES)
    except (DataLossError, BindingError):
        return


def main() -> None:
    """Fuzz until told to stop; libFuzzer's options may follow on the command line."""
    for golden in sorted(GOLDEN.glob("*.frame")):
        decode(golden.read_bytes()[_BODY_AT:])
    _limit_memory()
    with tempfile.TemporaryDirectory() as corpus:
        for golden in GOLDEN.glob("*.frame"):
            (Path(corpus) / golden.stem).write_bytes(golden.read_bytes()[_BODY_AT:])
        atheris.Setup([sys.argv[0], corpus, f"-timeout={_TIMEOUT_S}", "-max_len=65536", *sys.argv[1:]], decode)
        atheris.Fuzz()


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_bytes = pages * resource.getpagesize() + _HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


if __name__ == "__main__":
    main()
