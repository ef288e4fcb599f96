"""How much memory there is where a model computes."""

import os
from pathlib import Path

import torch

# Version 2 of control groups, then version 1: what a container may take.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes(device: torch.device, limits: tuple[Path, ...] = _LIMITS) -> int:
    """Of a GPU all it has; else of the machine, or what this container may take of it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [path.read_text(encoding="ascii").strip() for path in limits if path.exists()]
    return min([machine, *(int(limit) for limit in found if limit.isdigit())])
