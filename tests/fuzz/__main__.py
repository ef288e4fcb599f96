"""Coverage-guided fuzzing of one target: ``python -m tests.fuzz frames -max_total_time=600``. README.md tells more."""

import importlib
import resource
import sys
from pathlib import Path

import atheris

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
# What numba compiles must not be instrumented.
_KERNELS = sorted((_ROOT / "codec" / "kernels").glob("*.py"))
_LOOPS = [
    *(f"codec.kernels.{file.stem}" for file in _KERNELS),
    *("codec.entropy.rans_loops", "codec.quantize.rd_maps", "codec.quantize.rd_transform"),
]
# The code that reads bytes of others, ours and what it leans on of Python.
_READERS = ["codec", "fuser", "kvwire", "receiver_service", "pickletools", "zipfile"]
# Inputs take milliseconds; what takes ten seconds hangs.
_TIMEOUT_S = 10
# The largest thing a target may make is a megabyte or so; the rest is room for the fuzzer's own corpus.
_HEADROOM_BYTES = 512 << 20


def main() -> None:
    """Fuzz until told to stop; new inputs go to ``out/fuzz/TARGET``, and what fails into a file beside it."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=_READERS, exclude=_LOOPS):
        target = importlib.import_module(f"tests.fuzz.{name}")
    found, kept = _ROOT / "out" / "fuzz" / name, _HERE / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    for at, seed in enumerate(target.seeds()):
        (found / f"seed-{at}").write_bytes(seed)
        target.run(seed)
    _limit_memory()
    limits = [f"-timeout={_TIMEOUT_S}", "-max_len=65536", f"-artifact_prefix={found}-"]
    folders = [str(folder) for folder in (found, kept) if folder.is_dir()]
    atheris.Setup([sys.argv[0], *folders, *limits, *options], target.run)
    atheris.Fuzz()


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_bytes = pages * resource.getpagesize() + _HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


if __name__ == "__main__":
    main()
