"""Does something again and again while something else is measured."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def meanwhile(act: Callable[[], object], every_s: float) -> Iterator[None]:
    """Act every so many seconds while the block runs, on a thread of its own.

    The first time that it fails is the last one, and the block's end raises it: what was to go on did not.
    """
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every_s):
            act()

    with ThreadPoolExecutor(1) as thread:
        acting = thread.submit(run)
        try:
            yield
        finally:
            stop.set()
        acting.result()
