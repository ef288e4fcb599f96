"""How long a service has computed, as Linux counts."""

import os
from collections.abc import Mapping
from pathlib import Path

from kvwire.processes import RunningService

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(service: RunningService) -> float:
    """CPU seconds of its process since it began."""
    return _cpu_s(Path(f"/proc/{service.process.pid}"))


def cpu_s_by_thread(service: RunningService) -> dict[str, float]:
    """The same of each of its threads."""
    return {thread.name: _cpu_s(thread) for thread in Path(f"/proc/{service.process.pid}/task").iterdir()}


def busiest_s(service: RunningService, before: Mapping[str, float]) -> float:
    """CPU seconds since then of the thread that has had most of them: torch computes on one alone."""
    return max(cpu_s - before.get(name, 0.0) for name, cpu_s in cpu_s_by_thread(service).items())


def _cpu_s(folder: Path) -> float:
    """In user and in kernel mode: fields 14 and 15 of proc(5), counted behind the name, which may hold anything."""
    fields = (folder / "stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
