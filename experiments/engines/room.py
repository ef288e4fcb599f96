"""How many actors a machine has room for, by what Ray says it has."""

from collections.abc import Mapping


def room(machine: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Actors of so many cores and so much of one GPU each: parts of two GPUs are no whole."""
    by_cores = int(machine.get("CPU", 0)) // cpus
    if not gpus:
        return by_cores
    on_a_gpu = int(1 / gpus + 1e-6)  # ten tenths are one, whatever floating point says
    return min(by_cores, int(machine.get("GPU", 0)) * on_a_gpu)
