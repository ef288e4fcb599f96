"""Keeps the few inputs that matter of all that fuzzing found: ``python -m tests.fuzz.minimise frames``.

From the smallest to the largest, an input is kept in ``corpus/TARGET`` if it takes a step from one line to another, in
the code that reads bytes, that no smaller one took. Those that once failed, and so have a name, stay. Needs no atheris.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_READERS = tuple(str(_ROOT / name) for name in ("codec", "fuser", "kvwire", "receiver_service", "sharer_service"))
# Inputs that say little more than smaller ones, at many times their size, are left to the next run of the fuzzer.
_LARGEST_BYTES = 4096

# What this gives to its own; names with a meaning are given by hand.
_NUMBERED = re.compile(r"[0-9a-f]{16}")

Step = tuple[str, int, int]


def steps(target: Any, data: bytes) -> set[Step]:
    """From which line to which a run goes, file by file."""
    found: set[Step] = set()

    def called(frame: FrameType, _event: str, _argument: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_READERS):
            return None
        before = frame.f_lineno

        def line(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal before
            if event == "line":
                found.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    sys.settrace(called)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return found


def main() -> None:
    """Minimise one target's inputs, those kept before among them."""
    (name,) = sys.argv[1:]
    target = importlib.import_module(f"tests.fuzz.{name}")
    kept = _HERE / "corpus" / name
    kept.mkdir(parents=True, exist_ok=True)
    inputs = sorted(set(_inputs(_ROOT / "out" / "fuzz" / name, kept)), key=lambda data: (len(data), data))
    old = [path for path in kept.iterdir() if _NUMBERED.fullmatch(path.name)]
    for path in old:
        path.unlink()
    seen = set().union(*(steps(target, data) for data in (*target.seeds(), *_inputs(kept))))
    for data in inputs:
        if len(data) <= _LARGEST_BYTES and (new := steps(target, data) - seen):
            seen |= new
            (kept / sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{name}: {len(list(kept.iterdir()))} of {len(inputs)} inputs kept, {len(seen)} steps in all")


def _inputs(*folders: Path) -> Iterator[bytes]:
    for folder in folders:
        yield from (path.read_bytes() for path in folder.glob("*"))


if __name__ == "__main__":
    main()
