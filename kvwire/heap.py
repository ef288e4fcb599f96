"""What of a process's memory is in use: resident pages also hold what the allocators keep for later.

A leak grows here; a heap that has settled in other places than before does not.
"""

import ctypes
import sys
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of glibc, since 2.33 (mallinfo(3)): sums over all arenas."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def heap_bytes() -> int | None:
    """Bytes that the C heap has given out, those in mappings of their own included; None where there is no glibc."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):  # another C library; no C library by that name
        return None
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


class HeapCollector(Collector):
    """Asked for when a service is scraped, and never else."""

    def collect(self) -> Iterable[Metric]:
        """The C heap's bytes, and the blocks of Python's own heap, which takes its arenas past the C heap."""
        bytes_now = heap_bytes()
        if bytes_now is not None:
            yield GaugeMetricFamily("kvwire_heap_bytes", "That the C heap has given out.", bytes_now)
        yield GaugeMetricFamily("kvwire_python_blocks", "That Python's heap has given out.", sys.getallocatedblocks())
