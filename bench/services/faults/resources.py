"""What a process holds of the operating system, as Linux counts."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """Threads, and open descriptors: sockets, and files of all other kinds."""

    threads: int
    files: int
    sockets: int


def resources(pid: int) -> Resources:
    """Of a process, now."""
    process = Path("/proc", str(pid))
    kinds = Counter[bool]()
    for each in (process / "fd").iterdir():
        try:
            kinds[each.readlink().name.startswith("socket:")] += 1
        except FileNotFoundError:  # closed since the listing
            continue
    return Resources(sum(1 for _ in (process / "task").iterdir()), kinds[False], kinds[True])
