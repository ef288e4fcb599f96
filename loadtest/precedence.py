"""Lets the tester run ahead of what it measures, where the system allows it.

It needs little of a core, but at once: on a machine whose cores the services keep busy it would be late otherwise, and
measure itself. Where raising a priority is not allowed, nothing changes, and the lag tells.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: Below other processes' nice value; enough to be woken before them.
_NICER = 10


@contextmanager
def precedence() -> Iterator[None]:
    """Raise the priority of the calling thread, the event loop's, while the block runs (Linux)."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, before - _NICER)
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
