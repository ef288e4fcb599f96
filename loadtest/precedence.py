"""Lets the tester run ahead of what it measures, where the system allows it.

It needs little of a core, but at once: on a machine whose cores the services keep busy it would be late otherwise, and
measure itself. A raised nice value is not enough: beside four busy processes on two cores the 99th percentile of its
wake-ups was 4.4 ms late with one, 2.0 ms in real time, which is also what it is on idle cores.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def precedence() -> Iterator[None]:
    """Run the calling thread, the event loop's, in real time while the block runs (Linux).

    Where that is not allowed, nothing changes, and the lag tells. Threads and processes begun meanwhile run as ever.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
